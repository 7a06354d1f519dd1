"""Owns which endpoint answers a path and a method, and what everybody else is told. Knows no endpoint."""

import re
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from streamrnn.http.responses import text_response

Endpoint = Callable[[Request], Awaitable[Response]]
REST = "{rest:path}"


def route(path: str, get: Endpoint | None = None, post: Endpoint | None = None) -> Route:
    """The endpoints of one path. One that ends with a slash stands for all below: see `rest_of`."""
    by_method = {"GET": get, "HEAD": get, "POST": post}

    async def answer(request: Request) -> Response:
        endpoint = by_method[request.method]
        assert endpoint is not None, "the route takes no other method"
        return await endpoint(request)

    methods = ["GET"] * (get is not None) + ["POST"] * (post is not None)
    if not path.endswith("/"):
        return Route(path, answer, methods=methods)
    below = Route(path + REST, answer, methods=methods)
    # Starlette's own pattern ends at a line feed, which a stream's key may hold.
    below.path_regex = re.compile(below.path_regex.pattern, re.DOTALL)
    return below


def rest_of(request: Request) -> str:
    """The decoded part of the path below its route."""
    rest: str = request.path_params["rest"]
    return rest


def make_application(routes: Sequence[Route]) -> ASGIApp:
    """The routes, and words for a path or a method that has none and for an endpoint that fails."""
    known = " ".join(sorted(each.path.removesuffix(REST) for each in routes))

    async def not_found(request: Request, _: Exception) -> Response:
        return text_response(404, f"not found; try {known}\n")

    words = {404: not_found, 405: _not_that_method, Exception: _failed}
    application = Starlette(routes=routes, exception_handlers=words)
    application.router.redirect_slashes = False
    return application


async def _not_that_method(_: Request, error: Exception) -> Response:
    allowed = sorted(getattr(error, "headers", {})["Allow"].split(", "))
    return text_response(405, f"only {' and '.join(allowed)}\n", {"Allow": ", ".join(allowed)})


async def _failed(_: Request, error: Exception) -> Response:
    return text_response(500, "internal error\n")

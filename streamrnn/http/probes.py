"""What is asked of a running daemon: alive, ready, metrics, status, streams. Knows only ServiceView."""

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamrnn.errors import DataError, NotInTime
from streamrnn.http.responses import json_response, text_response
from streamrnn.http.routing import rest_of, route

LONGEST_LIST = 10_000


class StreamsView(Protocol):
    """The streams that somebody holds."""

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        """The stream that is shown so, if it is held; DataError where no stream can be, NotInTime where nobody
        can tell now."""

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Resident streams."""


class ServiceView(StreamsView, Protocol):
    """The face a service shows to probes."""

    def is_alive(self) -> bool:
        """Whether its loop still turns."""

    def ready(self) -> tuple[bool, str]:
        """Whether it serves every partition it owns, and why not."""

    def status(self) -> dict[str, Any]:
        """The whole."""


class Exposition:
    """An application as an endpoint. Starlette takes a plain function for one that wants a Request."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; who asks for a form in words that nobody can read gets the common one."""
        try:
            await self._application(scope, receive, send)
        except (TypeError, ValueError):  # of prometheus_client, of the headers, before it sends
            await self._application({**scope, "headers": []}, receive, send)


def probe_routes(view: ServiceView, metrics: ASGIApp) -> list[Route]:
    """What answers probes, Prometheus and people who look; `metrics` writes the exposition."""

    async def live(_: Request) -> Response:
        return text_response(200, "ok\n") if view.is_alive() else text_response(503, "stalled\n")

    async def ready(_: Request) -> Response:
        is_ready, why = view.ready()
        return text_response(200 if is_ready else 503, f"{why}\n")

    async def status(_: Request) -> Response:
        return json_response(200, view.status())

    return [
        route("/livez", live),
        route("/readyz", ready),
        Route("/metrics", Exposition(metrics), methods=["GET"]),
        route("/status", status),
        *stream_routes(view),
    ]


def stream_routes(view: StreamsView) -> list[Route]:
    """What answers people who look at streams."""

    async def streams(request: Request) -> Response:
        limit = _whole(request.query_params.get("limit", "100"))
        if limit is None:
            return json_response(400, {"error": "limit must be a whole number"})
        prefix = request.query_params.get("prefix", "")
        return json_response(200, await view.streams(min(limit, LONGEST_LIST), prefix))

    async def stream(request: Request) -> Response:
        given = request.query_params.get("partition")
        partition = None if given is None else _whole(given)
        if given is not None and partition is None:
            return json_response(400, {"error": "partition must be a whole number"})
        try:
            found = await view.stream(rest_of(request), partition)
        except DataError as error:
            return json_response(400, {"error": str(error)})
        except NotInTime as error:
            return json_response(503, {"error": str(error)})
        return json_response(404, {"error": "no such stream here"}) if found is None else json_response(200, found)

    return [route("/streams", streams), route("/streams/", stream)]


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None

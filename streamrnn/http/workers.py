"""What is asked of a daemon of several workers: the same as of one, answered for all. Knows only WorkersView."""

from typing import Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streamrnn.http.probes import StreamsView, stream_routes
from streamrnn.http.responses import json_response, text_response
from streamrnn.http.routing import route


class Exposed(NamedTuple):
    """Metrics as they are written, and the name of that form."""

    form: str
    text: bytes


class WorkersView(StreamsView, Protocol):
    """The face that several workers show to probes."""

    async def alive(self) -> tuple[bool, str]:
        """Whether every loop still turns, and whose does not."""

    async def ready(self) -> tuple[bool, str]:
        """Whether every worker serves all that it owns, and who does not and why."""

    async def metrics(self, accept: str) -> Exposed:
        """The metrics of all in one, in the form that is asked for."""

    async def status(self) -> dict[str, Any]:
        """The whole."""


def supervised_routes(view: WorkersView) -> list[Route]:
    """What answers probes, Prometheus and people who look."""

    async def live(_: Request) -> Response:
        is_alive, why = await view.alive()
        return text_response(200 if is_alive else 503, f"{why}\n")

    async def ready(_: Request) -> Response:
        is_ready, why = await view.ready()
        return text_response(200 if is_ready else 503, f"{why}\n")

    async def metrics(request: Request) -> Response:
        form, text = await view.metrics(", ".join(request.headers.getlist("accept")))
        return Response(text, headers={"Content-Type": form})

    async def status(_: Request) -> Response:
        return json_response(200, await view.status())

    return [
        route("/livez", live),
        route("/readyz", ready),
        route("/metrics", metrics),
        route("/status", status),
        *stream_routes(view),
    ]

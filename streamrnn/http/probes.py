"""What is asked of a running daemon: alive, ready, metrics, status, streams. Knows only ServiceView."""

from typing import Any, Protocol

from streamrnn.errors import DataError
from streamrnn.http.server import Handler, Request, Response, json_response

LONGEST_LIST = 10_000


class ServiceView(Protocol):
    """The face a service shows to probes."""

    def is_alive(self) -> bool:
        """Whether its loop still turns."""

    def ready(self) -> tuple[bool, str]:
        """Whether it serves every partition it owns, and why not."""

    def metrics_text(self) -> bytes:
        """The exposition."""

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        """The stream that is shown so, if it is held; DataError where no stream can be."""

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Resident streams."""

    def status(self) -> dict[str, Any]:
        """The whole."""


def routes(view: ServiceView) -> dict[str, Handler]:
    """Paths and what answers them."""

    async def live(_: Request) -> Response:
        return Response(200, b"ok\n") if view.is_alive() else Response(503, b"stalled\n")

    async def ready(_: Request) -> Response:
        is_ready, why = view.ready()
        return Response(200 if is_ready else 503, why.encode() + b"\n")

    async def metrics(_: Request) -> Response:
        return Response(200, view.metrics_text(), "text/plain; version=0.0.4; charset=utf-8")

    async def status(_: Request) -> Response:
        return json_response(200, view.status())

    async def streams(request: Request) -> Response:
        limit = _whole(request.query.get("limit", "100"))
        if limit is None:
            return json_response(400, {"error": "limit must be a whole number"})
        return json_response(200, await view.streams(min(limit, LONGEST_LIST), request.query.get("prefix", "")))

    async def stream(request: Request) -> Response:
        given = request.query.get("partition")
        partition = None if given is None else _whole(given)
        if given is not None and partition is None:
            return json_response(400, {"error": "partition must be a whole number"})
        try:
            found = await view.stream(request.rest, partition)
        except DataError as error:
            return json_response(400, {"error": str(error)})
        return json_response(404, {"error": "no such stream here"}) if found is None else json_response(200, found)

    return {
        "/livez": live,
        "/readyz": ready,
        "/metrics": metrics,
        "/status": status,
        "/streams": streams,
        "/streams/": stream,
    }


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None

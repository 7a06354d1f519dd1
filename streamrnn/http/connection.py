"""Owns one connection: a request whose head is bounded, one answer, an end in time. Knows no application."""

import asyncio
import http

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from streamrnn.http.limits import Limits

END = b"\r\n\r\n"
HEADERS = {"Cache-Control": "no-store", "Connection": "close"}
"""Of every answer."""


class BoundedConnection(H11Protocol):
    """A connection that is cut off `limits.request_s` after its beginning, whatever its state.

    h11 sees a head when it is whole: it would take one of any size that comes at once, and line feeds for its end.
    """

    def __init__(self, config: Config, state: ServerState, limits: Limits) -> None:
        super().__init__(config, state, app_state={})
        self._limits = limits
        self._head = bytearray()
        self._has_head = False
        self._cut_off: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one connection too many is turned away unheard."""
        super().connection_made(transport)
        self._cut_off = self.loop.call_later(self._limits.request_s, transport.abort)
        if len(self.connections) > self._limits.connections:
            self._answer(503, "too many connections\n")

    def data_received(self, data: bytes) -> None:
        """Keep the head until it is whole; hand on what follows."""
        if self._has_head:
            return super().data_received(data)
        seen = max(0, len(self._head) - len(END) + 1)
        self._head += data
        end = self._head.find(END, seen)
        if max(end, len(self._head) if end < 0 else 0) > self._limits.head_bytes:
            return self._answer(431, "the request is too large\n")
        if end >= 0:
            self._has_head = True
            super().data_received(bytes(self._head))
        return None

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether one who has said all is still answered: where the request is whole."""
        return self.cycle is not None and not self.cycle.more_body

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        assert self._cut_off is not None, "it has begun"
        self._cut_off.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; one that went wrong in its body may have its answer already."""
        if self.cycle is None or not self.cycle.response_started:
            return self._answer(400, "bad request\n")
        return self.transport.abort()

    def _answer(self, status: int, text: str) -> None:
        """An answer to one whose request no application sees."""
        more = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(text))}
        lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in (more | HEADERS).items()]
        self.transport.write("\r\n".join([*lines, "", text]).encode())
        self.transport.close()

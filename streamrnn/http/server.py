"""A small HTTP/1.1 server for probes, inspection and a few commands: everything bounded. Knows no service.

uvicorn reads and writes the connections. Its Server is not used: that one takes the signals of the process,
exits where the address is taken, and looks ten times a second whether it should end.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from starlette.routing import Route
from uvicorn import Config
from uvicorn.server import ServerState

from streamrnn.errors import ConfigError
from streamrnn.http.connection import HEADERS, BoundedConnection
from streamrnn.http.limits import DEFAULT_LIMITS, BoundedApplication, Limits
from streamrnn.http.routing import make_application


class HttpServer:
    """Serves routes at an address from the running event loop, between `start` and `stop`.

    path: a unix socket to make there instead, for whoever may enter its folder.
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Sequence[Route],
        limits: Limits = DEFAULT_LIMITS,
        path: Path | None = None,
    ) -> None:
        self._host, self._port, self._limits, self._path = host, port, limits, path
        self._application = BoundedApplication(make_application(routes), limits)
        self._server: asyncio.Server | None = None
        self._state = ServerState()

    @property
    def port(self) -> int:
        """The port listened on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self) -> None:
        """Listen; ConfigError when the address is taken or not ours."""
        try:
            self._server = await self._listen(self._configure())
        except OSError as error:
            where, why = self._path or f"{self._host}:{self._port}", error.strerror or error
            raise ConfigError(f"http: cannot listen on {where}: {why}") from error

    async def _listen(self, config: Config) -> asyncio.Server:
        def connected() -> BoundedConnection:
            return BoundedConnection(config, self._state, self._limits)

        loop = asyncio.get_running_loop()
        if self._path is None:
            return await loop.create_server(connected, self._host, self._port)
        self._path.unlink(missing_ok=True)  # of one that was killed
        return await loop.create_unix_server(connected, self._path)

    def _configure(self) -> Config:
        """uvicorn without its log of requests and its warnings of bad ones: anybody could fill a disk with them."""
        self._state.default_headers = [(name.lower().encode(), text.encode()) for name, text in HEADERS.items()]
        config = Config(
            self._application,
            interface="asgi3",
            lifespan="off",
            ws="none",
            workers=1,
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
        )
        config.load()
        return config

    async def stop(self) -> None:
        """Stop listening and end what is open at once; a second stop does nothing."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # every connection is lost before its answer is given up
        asking = list(self._state.tasks)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await server.wait_closed()

"""Servers that are stopped at the end of a test."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamrnn.http.server import Handler, HttpServer
from tests.http.asking import Start


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers; at the end all are stopped and asyncio has nothing to complain of."""
    servers: list[HttpServer] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))

    async def begin(handlers: dict[str, Handler], posts: dict[str, Handler] | None = None) -> HttpServer:
        servers.append(HttpServer("127.0.0.1", 0, handlers, posts))
        await servers[-1].start()
        return servers[-1]

    yield begin
    for server in servers:
        await server.stop()
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []

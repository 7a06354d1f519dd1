"""Servers that are stopped at the end of a test."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.routing import Route

from streamrnn.http.limits import DEFAULT_LIMITS, Limits
from streamrnn.http.routing import Endpoint
from streamrnn.http.server import HttpServer
from tests.http.asking import Start, routed


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers; at the end all are stopped and asyncio has nothing to complain of."""
    servers: list[HttpServer] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))

    async def begin(
        gets: dict[str, Endpoint] | list[Route],
        posts: dict[str, Endpoint] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> HttpServer:
        routes = gets if isinstance(gets, list) else routed(gets, posts)
        servers.append(HttpServer("127.0.0.1", 0, routes, limits))
        await servers[-1].start()
        return servers[-1]

    yield begin
    for server in servers:
        await server.stop()
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []

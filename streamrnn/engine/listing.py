"""Which streams an engine holds, asked for while it steps. Knows the engine's thread; changes nothing."""

from collections.abc import Callable

from streamrnn.engine.rows.walk import HeldStream, every
from streamrnn.engine.thread import EngineThread

SLICE = 4096
"""Streams looked at between two steps."""


async def held_streams(
    thread: EngineThread, limit: int, is_asked: Callable[[bytes], bool] = every, most: int = SLICE
) -> list[HeldStream]:
    """Up to `limit` >= 1 streams whose key is asked for; see Walk. No step waits for more than `most` of them."""
    walk = await thread.call(thread.engine.walk, limit, is_asked)
    while await thread.call(walk.go_on, most):
        pass
    return walk.found

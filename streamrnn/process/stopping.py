"""Owns how what runs is given up when the process is told to end. Knows nothing of what runs."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)
LONGEST_JOIN_S = 2.0


async def unless(stop: asyncio.Event, doing: Coroutine[Any, Any, None]) -> bool:
    """Whether `doing` was done before `stop` was set; it is cancelled if not, and what it raises is raised."""
    task, stopping = asyncio.ensure_future(doing), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done()
    finally:
        task.cancel()
        stopping.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


def leave(code: int, given_up: str = "", patience_s: float = LONGEST_JOIN_S) -> int:
    """End at once where a thread hangs in a device or a store: the interpreter would wait for it for ever.

    given_up: how the names of threads begin whose work nobody wants any more; such a thread is not waited for.
    patience_s: for all others together.
    """
    deadline = time.monotonic() + patience_s
    for thread in threading.enumerate():
        if thread is threading.current_thread() or thread.daemon:
            continue
        is_wanted = not (given_up and thread.name.startswith(given_up))
        if is_wanted:
            thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            if is_wanted:
                log.warning("thread %s hangs and is left behind", thread.name)
            logging.shutdown()
            os._exit(code)
    return code

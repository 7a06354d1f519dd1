"""A call on a thread that nobody waits for: what hangs in a store holds up neither the event loop nor the end."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def start_aside(call: Callable[[], T], name: str) -> tuple[threading.Thread, "asyncio.Future[T]"]:
    """Begin the call on a thread of its own; what it gives or raises is to be awaited, or left alone."""
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def run() -> None:
        try:
            given = partial(_give, answer, call())
        except Exception as error:
            given = partial(_fail, answer, error)
        with suppress(RuntimeError):  # the loop is closed
            answer.get_loop().call_soon_threadsafe(given)

    # Not an executor's: the end of the process would wait for its threads.
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread, answer


def _give(answer: "asyncio.Future[T]", result: T) -> None:
    if not answer.done():  # else nobody waits any more
        answer.set_result(result)


def _fail(answer: "asyncio.Future[T]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)

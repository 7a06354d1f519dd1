"""Owns what SIGINT and SIGTERM do to a running command: one asks for an orderly end, a second ends at once."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)
NUMBERS = (signal.SIGINT, signal.SIGTERM)
ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that what a `with` holds is put away.

    For the main thread, around what has no event loop; a loop's own handlers go before.
    """

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_signals(stop: asyncio.Event, at_once: Callable[[], None] = lambda: None) -> Iterator[list[signal.Signals]]:
    """Set `stop` at the first signal; gives the list of those that came. For the event loop's own thread.

    at_once: called before the process ends at a second signal.
    """
    came: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        if came:
            at_once()
            os._exit(128 + number)
        log.info("%s: finishing; a second signal ends at once", number.name)
        came.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in NUMBERS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield came
    finally:
        for number in NUMBERS:
            loop.remove_signal_handler(number)

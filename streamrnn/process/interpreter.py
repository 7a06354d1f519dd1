"""Owns how the Python interpreter is set while the service runs. Knows nothing of what runs."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SWITCH_INTERVAL_S = 0.0005
"""How long the engine thread may hold the interpreter while the event loop waits (Python's default is 5 ms)."""
GC_THRESHOLDS = (50_000, 20, 100)
"""A batch makes tens of thousands of short-lived records; Python's default looks through them every 700."""


@contextmanager
def tuned_interpreter() -> Iterator[None]:
    """Threads that change places promptly, and a garbage collector that leaves libraries and batches alone.

    Half the service's time went into looking for cycles among records, which have none.
    """
    switch_interval_s, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(switch_interval_s)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop

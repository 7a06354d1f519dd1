"""A snapshot that is being read is let go of without waiting for whoever reads."""

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from streamrnn.ticks import StreamRows
from streamrnn.worker.snapshot_under_way import Parts

PATIENCE_S = 10


@pytest.mark.parametrize("when", ["before the first", "while one is read", "after one"])
def test_parts_are_closed_by_a_thread_of_theirs(when: str) -> None:
    """Closing waits for what is read ahead: never on the event loop."""
    go_on, entered, closed, closed_by = threading.Event(), threading.Event(), threading.Event(), list[str]()

    def read() -> Generator[StreamRows, None, None]:
        try:
            entered.set()
            assert go_on.wait(PATIENCE_S)
            yield StreamRows([], np.empty((0, 1), np.float32), np.empty((0, 1), np.int64))
        finally:
            closed_by.append(threading.current_thread().name)
            closed.set()

    with ThreadPoolExecutor(2, "theirs") as threads:
        parts = Parts(read(), threads)
        if when != "before the first":
            reading = parts.next()
            assert entered.wait(PATIENCE_S)
            if when == "after one":
                go_on.set()
                reading.result(PATIENCE_S)
        parts.let_go()
        go_on.set()
        assert when == "before the first" or closed.wait(PATIENCE_S)
    assert [name.partition("_")[0] for name in closed_by] == ([] if when == "before the first" else ["theirs"])


def test_parts_may_be_let_go_after_their_threads() -> None:
    threads = ThreadPoolExecutor(1)
    parts = Parts((_ for _ in ()), threads)
    threads.shutdown()
    parts.let_go()

"""A snapshot being written (Taking) or read (Parts). Nothing here blocks.

Either can be given up at any moment, even while a thread hangs in the store.
"""

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.capture import Capture, Reading
from streamrnn.engine.thread import EngineThread
from streamrnn.errors import CaptureVoid
from streamrnn.snapshots import Draft
from streamrnn.ticks import StreamRows
from streamrnn.worker.partition import Partition, Phase


class Taking:
    """A draft, and the capture of the rows that go into it, of a partition at its position of this moment."""

    def __init__(self, partition: Partition, draft: Draft, is_full: bool) -> None:
        self.draft, self.is_full = draft, is_full
        self._capture: Capture | None = None
        self._partition, self._rows = partition, partition.serving
        self.position, self._pedigree, self._undoings = (
            self._rows.position,
            self._rows.pedigree,
            self._rows.undoings,
        )

    def is_committed(self) -> bool:
        """Whether no undo goes below its position any more."""
        return self._partition.committed is not None and self._partition.committed >= self.position

    def check(self) -> None:
        """CaptureVoid where the rows may not be those of the position, or nobody will commit it here."""
        partition, rows = self._partition, self._rows
        if rows.undoings != self._undoings or rows.pedigree != self._pedigree:
            raise CaptureVoid(f"{self.position} was undone")
        if partition.phase is not Phase.LIVE:
            raise CaptureVoid(f"partition {partition.number} is {partition.phase}")

    def capture(self, engine: Engine) -> None:
        """On the engine's thread: begin to copy the rows; called before the next step."""
        self._capture = engine.capture(self._partition.number, self.is_full)

    def take_soon(self, count: int) -> Reading | None:
        """On the engine's thread: up to `count` of the rows, None when there are no more."""
        assert self._capture is not None
        return self._capture.take_soon(count)

    def confirm(self) -> None:
        """On the engine's thread: the rows are kept; CaptureVoid where they are no more what they were."""
        if self._capture is None or not self._capture.confirm():
            raise CaptureVoid(f"{self.position} was overtaken")

    def give_up(self, thread: EngineThread, threads: ThreadPoolExecutor) -> None:
        """Have the rows count as not kept, and what was written removed, when somebody comes to it."""
        self.draft.refuse()
        with suppress(RuntimeError):  # its line was let go
            thread.post(self._fail)
        with suppress(RuntimeError):
            threads.submit(self.draft.abandon)

    def _fail(self) -> None:
        if self._capture is not None:
            self._capture.fail()


class Parts:
    """A snapshot's parts, read by threads one after the other."""

    def __init__(self, parts: Generator[StreamRows, None, None], threads: ThreadPoolExecutor) -> None:
        self._parts, self._threads = parts, threads
        self._reading: Future[StreamRows | None] | None = None

    def next(self) -> "Future[StreamRows | None]":
        """The next part, None after the last."""
        self._reading = self._threads.submit(next, self._parts, None)
        return self._reading

    def let_go(self) -> None:
        """Close, once the thread that reads has come back."""
        if self._reading is None:
            self._close()
        else:
            self._reading.add_done_callback(self._close)

    def _close(self, _: object = None) -> None:
        """On a thread of theirs, for it waits for what is read ahead; where they are let go too, nobody waits."""
        with suppress(RuntimeError):
            self._threads.submit(self._parts.close)

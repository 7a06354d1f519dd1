"""The ticks of one or several files as one history: each stream in order of time, or refused.

Owns the order: `check` refuses a time before its stream's last one, since a file does not tell why it runs back:
two streams taken for one, a clock set back, a file out of turn. `sort` is for those who know. Knows no Kafka.
Shapes: n ticks.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streamrnn.codecs.times import EPOCH
from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import Table, TableBatch, read_table, stem
from streamrnn.tables.sorting import MEMORY_BYTES, Sorter


class Newest:
    """Remembers the latest time of each stream."""

    def __init__(self) -> None:
        self.latest_ms = np.iinfo(np.int64).min
        self.is_merged = True
        self._newest: dict[str, int] = {}

    def runs_back(self, batch: TableBatch, tail: int = 0) -> int | None:
        """The first tick that is earlier than its stream's last; also learns whether all streams are in order.

        tail: the batch's streams are those of its last so many ticks, 0: they may be anywhere in it.
        """
        times = batch.time_ms
        before = int(self.latest_ms)
        if before <= times[0] and (times[1:] >= times[:-1]).all():
            self.latest_ms = times[-1]
            self._newest.update(zip(batch.streams[-tail:], times[-tail:].tolist(), strict=True))
            return None
        self.is_merged = False
        self.latest_ms = max(before, int(times.max()))
        return self._first_back(batch.streams, times)

    def of(self, stream: str) -> int:
        """The stream's latest time; a stream that was not seen yet is earlier than all times."""
        return self._newest.get(stream, np.iinfo(np.int64).min)

    def _first_back(self, streams: list[str], times: NDArray[np.int64]) -> int | None:
        coded = pa.array(streams, pa.string()).dictionary_encode()
        names, codes = coded.dictionary.to_pylist(), coded.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        sorted_times, sorted_codes = times[order], codes[order]
        starts = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        last = np.concatenate(([0], sorted_times[:-1]))
        last[starts] = [self.of(names[code]) for code in sorted_codes[starts].tolist()]
        back = order[sorted_times < last]
        if len(back):
            first = int(back.min())
            self._newest[streams[first]] = int(last[np.flatnonzero(order == first)[0]])
            return first
        ends = np.append(starts[1:], len(order)) - 1
        for code, time_ms in zip(sorted_codes[ends].tolist(), sorted_times[ends].tolist(), strict=True):
            self._newest[names[code]] = time_ms
        return None


class Feed:
    """Ticks of tables, file after file, or merged by time; each iteration reads them anew.

    features, whole: as the tables have them. limit: rows of all files at most. may_run_back: the service's policy
    says what becomes of a tick that is out of order, so nothing is refused for it.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        columns: TableColumns,
        limit: int | None = None,
        may_run_back: bool = False,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.tables, self._columns, self._limit = tuple(tables), columns, limit
        self.features, self.whole = tables[0].features, tables[0].whole
        self.ticks_per_row = tables[0].ticks_per_row
        self.share = 0.0
        self._may_run_back, self._memory_bytes = may_run_back, memory_bytes
        self._sorts = columns.order == "sort"
        self._used: Counter[str] = Counter()
        self._doubles = 0

    def words(self) -> list[str]:
        """What was understood of each file, a text for each."""
        return [table.words() for table in self.tables]

    def notes(self) -> list[str]:
        """What the last reading took for a missing value, and what looks odd in the files."""
        said = []
        for text in self._columns.missing:
            count = self._used[text]
            said.append(f"--missing {text!r} " + (f"occurs {count:,} times" if count else "never occurs"))
        if self._doubles:
            hint = "--stream-column if they are of several streams"
            said.append(f"{self._doubles:,} rows have the time of the row before: {hint}")
        return said

    def check_all(self) -> None:
        """Read all files once, so that an error is known before any tick is sent.

        If the files overlap in time, the next iteration merges them. DataError as of an iteration.
        """
        if self._sorts:
            return
        newest = Newest()
        for _ in self._in_turn(newest):
            pass
        self._sorts = not newest.is_merged and not self._may_run_back

    def __iter__(self) -> Iterator[TableBatch]:
        """Yield the ticks of all files.

        DataError at the first row that cannot be read, or whose time runs back. A feed that sorts reads all rows
        first, so its error comes before its first tick.
        """
        if self._sorts:
            yield from self._sorted()
        else:
            yield from self._in_turn(Newest())

    def _sorted(self) -> Iterator[TableBatch]:
        with closing(Sorter(len(self.features), self._memory_bytes)) as sorter:
            for batch in self._in_turn(None):
                sorter.add(batch)
            done = 0
            for batch in sorter:
                done += len(batch.streams)
                self.share = done / len(sorter)
                yield batch

    def _in_turn(self, newest: Newest | None) -> Iterator[TableBatch]:
        self._used, self._doubles = Counter(), 0
        left = self._limit
        for number, table in enumerate(self.tables):
            done, most = 0, None if left is None else left * table.ticks_per_row
            for batch in table:
                self.share = (number + table.share) / len(self.tables)
                if most is not None:
                    streams, time_ms, values = batch
                    left_ticks = most - done
                    batch = TableBatch(streams[:left_ticks], time_ms[:left_ticks], values[:left_ticks])
                if newest is not None and not self._may_run_back:
                    self._refuse_back(table, done, batch, newest)
                if not table.stream and table.ticks_per_row == 1:
                    self._doubles += int((np.diff(batch.time_ms) == 0).sum())
                done += len(batch.streams)
                yield batch
                if most is not None and done >= most:
                    break
            self._used.update(table.used)
            left = None if left is None else left - done // table.ticks_per_row
            if left is not None and left <= 0:
                return

    def _refuse_back(self, table: Table, done: int, batch: TableBatch, newest: Newest) -> None:
        back = newest.runs_back(batch, 0 if table.stream else table.ticks_per_row)
        if back is None:
            return
        stream = batch.streams[back]
        early, late = (_text(time_ms) for time_ms in (int(batch.time_ms[back]), newest.of(stream)))
        raise DataError(
            f"{table.place(done + back)}{early} comes after {late} of the same stream {stream!r}; "
            "--order sort if it is one stream, --stream-column if they are several"
        )


def _text(time_ms: int) -> str:
    try:
        return str(EPOCH.replace(tzinfo=None) + timedelta(milliseconds=time_ms))
    except OverflowError:
        return f"{time_ms} ms"


def open_feed(
    paths: Sequence[Path],
    columns: TableColumns,
    limit: int | None = None,
    may_run_back: bool = False,
    memory_bytes: int = MEMORY_BYTES,
) -> Feed:
    """Open files as one feed.

    DataError where the files have different features, or streams of the same name.
    """
    prefixes = [_prefix(path, columns, len(paths)) for path in paths]
    tables = [read_table(path, columns, prefix) for path, prefix in zip(paths, prefixes, strict=True)]
    are_named = columns.stream or columns.one_stream is not None
    stems = [table.stem for table in tables]
    if not are_named and len(set(stems)) < len(stems):
        raise DataError(f"files of one name would be one stream: {stems}; rename them, or --one-stream NAME")
    for table in tables[1:]:
        if table.features != tables[0].features:
            raise DataError(
                f"{table.path} has {table.features}, {tables[0].path} has {tables[0].features}; "
                "--features names those of all"
            )
    return Feed(tables, columns, limit, may_run_back, memory_bytes)


def _prefix(path: Path, columns: TableColumns, files: int) -> str:
    """The text before the name of a wide table's stream: the file's name, where there are several files."""
    if columns.one_stream is not None:
        return f"{columns.one_stream}/"
    return f"{stem(path)}/" if files > 1 else ""

"""Order of time: refused or sorted, in bounded memory, as Python's stable sort has it."""

import itertools
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.config import InputSettings
from streamrnn.errors import DataError
from streamrnn.replay.encoding import Places, TickEncoder, chunks
from streamrnn.tables.description import TableColumns
from streamrnn.tables.feed import Newest, open_feed
from streamrnn.tables.reading import TableBatch
from streamrnn.tables.sorting import Sorter

T0 = 1_467_331_200_000
TICKS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-9, 9)), min_size=1, max_size=400)
CUTS = st.lists(st.integers(1, 50), min_size=1, max_size=10)


def batches(ticks: list[tuple[str, int]], cuts: list[int]) -> list[TableBatch]:
    """The ticks in pieces of these sizes over and over; each tick's value is its number."""
    found, at = [], 0
    for size in itertools.cycle(cuts):
        piece = ticks[at : at + size]
        if not piece:
            return found
        times = np.array([time_ms for _, time_ms in piece], np.int64)
        values = np.arange(at, at + len(piece), dtype=np.float64)[:, None]
        found.append(TableBatch([stream for stream, _ in piece], times, values))
        at += size
    return found


@given(TICKS, CUTS, st.sampled_from([1, 100 * 72, 1 << 20]))
def test_sorted_ticks_are_those_of_a_stable_sort(
    ticks: list[tuple[str, int]], cuts: list[int], memory: int
) -> None:
    with closing(Sorter(1, memory)) as sorter:
        for batch in batches(ticks, cuts):
            sorter.add(batch)
        got = [
            (stream, time_ms, value)
            for batch in sorter
            for stream, time_ms, (value,) in zip(
                batch.streams, batch.time_ms.tolist(), batch.values.tolist(), strict=True
            )
        ]
    expected = [(stream, time_ms, float(n)) for n, (stream, time_ms) in enumerate(ticks)]
    assert got == sorted(expected, key=lambda tick: tick[1])


@given(TICKS, CUTS)
def test_the_first_tick_that_runs_back_is_found(ticks: list[tuple[str, int]], cuts: list[int]) -> None:
    newest: dict[str, int] = {}
    expected = None
    for n, (stream, time_ms) in enumerate(ticks):
        if expected is None and time_ms < newest.get(stream, time_ms):
            expected = (n, newest[stream])
        if expected is None:
            newest[stream] = time_ms
    fast, at, found = Newest(), 0, None
    for batch in batches(ticks, cuts):
        back = fast.runs_back(batch)
        if back is not None:
            found = (at + back, fast.of(batch.streams[back]))
            break
        at += len(batch.streams)
    assert found == expected
    if expected is None:
        times = [time_ms for _, time_ms in ticks]
        assert fast.is_merged == (times == sorted(times))


def backwards(folder: Path, rows: int) -> Path:
    """A file whose times run back, row after row."""
    path = folder / "pump.csv"
    with path.open("w") as file:
        file.write("time,a,b\n")
        file.writelines(f"{T0 + 1000 * n},{n},{n / 8}\n" for n in range(rows, 0, -1))
    return path


def test_a_file_larger_than_the_memory_allowed_is_sorted_within_it(
    tmp_path: Path, peak_of: Callable[[Callable[[], Any]], int]
) -> None:
    rows, memory = 200_000, 1 << 20
    path = backwards(tmp_path, rows)
    assert path.stat().st_size > 4 * memory
    feed = open_feed([path], TableColumns(order="sort"), memory_bytes=memory)
    seen: list[int] = [0]
    shares = []

    def read() -> None:
        for batch in feed:
            first = seen[0] + 1
            np.testing.assert_array_equal(batch.values[:, 0], np.arange(first, first + len(batch.streams)))
            seen[0] += len(batch.streams)
            shares.append(feed.share)

    peak = peak_of(read)
    assert seen == [rows]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    # A batch of the file, a run and its sorted copy, and the names of a batch; the ticks alone are 4.8 MB.
    assert peak < 24 * memory


@pytest.fixture
def peak_of() -> Callable[[Callable[[], Any]], int]:
    """Most bytes of Python's and numpy's at once while something runs."""
    import tracemalloc

    def measured(run: Callable[[], Any]) -> int:
        tracemalloc.start()
        try:
            run()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return measured


def test_sorting_takes_no_more_memory_for_four_times_the_ticks(peak_of: Callable[[Callable[[], Any]], int]) -> None:
    def sort(parts: int) -> None:
        rng = np.random.default_rng(1)
        with closing(Sorter(2, 1 << 20)) as sorter:
            for _ in range(parts):
                sorter.add(TableBatch(["a"] * 1000, rng.integers(0, 1 << 40, 1000), rng.normal(size=(1000, 2))))
            count = sum(len(batch.streams) for batch in sorter)
        assert count == 1000 * parts

    assert peak_of(lambda: sort(400)) < 1.3 * peak_of(lambda: sort(100))


def test_a_policy_of_the_service_says_what_becomes_of_ticks_that_run_back(tmp_path: Path) -> None:
    path = backwards(tmp_path, 5)
    with pytest.raises(DataError, match=r"row 2 \(line 3\), column 'time': .* --order sort"):
        list(open_feed([path], TableColumns()))
    [batch] = list(open_feed([path], TableColumns(), may_run_back=True))
    assert batch.values[:, 0].tolist() == [5, 4, 3, 2, 1]


def test_files_are_one_stream_only_where_that_is_said(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.csv", "a.csv")]
    for n, path in enumerate(paths):
        path.write_text(f"time,x,y\n{T0 + n},{n},{n}\n")
    assert [b.streams for b in open_feed(paths, TableColumns())] == [["b"], ["a"]]
    assert [b.streams for b in open_feed(paths, TableColumns(one_stream="s"))] == [["s"], ["s"]]
    assert [b.streams for b in open_feed(paths, TableColumns(wide=True))] == [["b/x", "b/y"], ["a/x", "a/y"]]
    assert [b.streams for b in open_feed(paths, TableColumns(wide=True, one_stream="s"))] == [["s/x", "s/y"]] * 2
    with pytest.raises(DataError, match=r"b\.csv: row 1 .* comes after .* of the same stream 's/x'; --order sort"):
        list(open_feed(paths[::-1], TableColumns(wide=True, one_stream="s")))


@pytest.mark.parametrize(("limit", "sent"), [(1, [0]), (3, [0, 2, 1]), (4, [0, 2, 1, 3]), (None, [0, 2, 1, 3])])
def test_a_limit_counts_the_rows_of_the_files_before_they_are_merged(
    tmp_path: Path, limit: int | None, sent: list[int]
) -> None:
    path = tmp_path / "panel.csv"
    path.write_text(
        "time,who,x\n"
        + "".join(f"{T0 + t},{who},{n}\n" for n, (who, t) in enumerate([("a", 0), ("a", 9), ("b", 5), ("b", 9)]))
    )
    feed = open_feed([path], TableColumns(stream=("who",)), limit)
    feed.check_all()
    encoder = TickEncoder(feed.features, InputSettings(), feed.whole)
    got = [json.loads(raw)["x"] for chunk in chunks(feed, encoder, Places(1), limit) for raw in chunk.values]
    assert got == sent


def test_a_bad_cell_at_the_end_is_found_before_anything_is_played(tmp_path: Path) -> None:
    path = tmp_path / "pump.csv"
    path.write_text("time,a\n" + f"{T0},1\n" * 20_000 + f"{T0},#DIV/0!\n")
    place = r"row 20001 \(line 20002\), column 'a': '#DIV/0!' is not a number"
    with pytest.raises(DataError, match=f"{place}.*--missing='#DIV/0!'"):
        open_feed([path], TableColumns()).check_all()
    feed = open_feed([path], TableColumns(missing=("#DIV/0!",)))
    feed.check_all()
    assert feed.notes() == [
        "--missing '#DIV/0!' occurs 1 times",
        "20,000 rows have the time of the row before: --stream-column if they are of several streams",
    ]

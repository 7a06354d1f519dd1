"""The spool against a dict of lists, whatever comes in which order; what it leaves on a disk, and a full one."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.train import fineness
from streamrnn.train.history import Spool, extents

from .histories import Streams, history_of, numbers

arrivals = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ç", "d"]), st.integers(-(2**40), 2**40), st.tuples(numbers, numbers)),
    min_size=1,
    max_size=60,
)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a disk that is full but for so many bytes: no file grows beyond them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def add_many(spool: Spool, ticks: int) -> None:
    spool.add(["pump"] * ticks, np.arange(ticks), np.zeros((ticks, 2), np.float32))


@given(arrivals, st.integers(1, 13), st.integers(1, 13))
@settings(max_examples=150, deadline=None)
def test_a_spool_lays_any_interleaving_out_as_a_dict_of_lists_would(
    arrived: list[tuple[str, int, tuple[float, float]]], batch: int, pass_ticks: int
) -> None:
    streams: Streams = {}
    for name, time_ms, values in arrived:
        streams.setdefault(name, []).append((time_ms, values))
    expected = history_of(("x", "y"), streams)
    with pytest.MonkeyPatch.context() as patch, Spool(("x", "y")) as spool:
        patch.setattr(fineness, "PASS_TICKS", pass_ticks)
        for at in range(0, len(arrived), batch):
            names, times, rows = zip(*arrived[at : at + batch], strict=True)
            spool.add(names, np.array(times, np.int64), np.array(rows, np.float32))
        said = spool.history()
        assert (said.features, said.streams, len(said)) == (("x", "y"), tuple(streams), len(arrived))
        np.testing.assert_array_equal(said.starts, expected.starts)
        np.testing.assert_array_equal(said.time_ms, expected.time_ms)
        np.testing.assert_array_equal(said.values, expected.values)
        np.testing.assert_array_equal(said.carried, expected.carried)
    assert list(extents(said)) == list(zip(expected.starts[:-1], expected.starts[1:], strict=True))


def test_columns_of_other_types_and_strides_are_taken_as_what_they_hold() -> None:
    table = np.array([[5, 1, 2], [6, 3, 4]], np.float64)
    with Spool(("x", "y")) as spool:
        spool.add(["a", "b"], table[:, 0].astype(np.int32), table[:, :0:-1])  # type: ignore[arg-type]
        said = spool.history()
        assert said.time_ms.tolist() == [5, 6]
        assert said.values.tolist() == [[2, 1], [4, 3]]


def test_nothing_added_is_no_history() -> None:
    with Spool(("x",)) as spool:
        spool.add([], np.empty(0, np.int64), np.empty((0, 1), np.float32))
        with pytest.raises(DataError, match="no ticks"):
            spool.history()


@pytest.mark.parametrize("fails", [False, True])
def test_the_files_go_with_the_with(tmp_path: Path, fails: bool) -> None:
    with suppress(KeyboardInterrupt), Spool(("x", "y"), tmp_path) as spool:
        add_many(spool, 10)
        assert len(spool.history()) == 10
        assert list(tmp_path.iterdir())
        if fails:
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cannot spool the history.*{tmp_path}/absent"):
        Spool(("x",), tmp_path / "absent")


def test_a_disk_that_fills_up_is_one_clear_error_and_is_left_clean(tmp_path: Path) -> None:
    """The last bytes cannot be written when the files are closed either; that must not hide the error."""

    def fill() -> None:
        with largest_file(50_000), Spool(("x", "y"), tmp_path) as spool:
            for _ in range(100):
                add_many(spool, 100)

    with pytest.raises(DataError, match=f"cannot spool the history to {tmp_path}.*too large"):
        fill()
    assert not list(tmp_path.iterdir())


def test_ticks_still_buffered_when_the_disk_is_full_are_the_same_error(tmp_path: Path) -> None:

    def fill() -> None:
        with largest_file(100), Spool(("x", "y"), tmp_path) as spool:
            add_many(spool, 100)
            spool.history()

    with pytest.raises(DataError, match=f"cannot sort the history in {tmp_path}.*too large"):
        fill()
    assert not list(tmp_path.iterdir())


ON_A_SMALL_DISK = """
import sys
import numpy as np
from pathlib import Path
from streamrnn.errors import DataError
from streamrnn.train.history import Spool
try:
    with Spool(("x", "y"), Path(sys.argv[1])) as spool:
        spool.add(["pump"] * 30_000, np.arange(30_000), np.zeros((30_000, 2), np.float32))
        spool.history()
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a disk of its own")
def test_a_disk_with_room_for_the_ticks_but_not_to_sort_them_does_not_kill_the_process(tmp_path: Path) -> None:
    """A write to a memory map of a file with holes on a full disk is a SIGBUS, which nothing catches."""
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" || exit 77; exec "$1" -c "$2" "$0"'
    command = ["unshare", "-rm", "sh", "-c", mount, str(tmp_path), sys.executable, ON_A_SMALL_DISK]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.returncode == 0, done
    assert done.stdout.startswith(f"cannot sort the history in {tmp_path}")
    assert "No space left" in done.stdout


@pytest.mark.parametrize("first", [0.0, 987_654_324.0])
def test_a_history_is_float64_only_where_a_features_steps_need_it(first: float) -> None:
    values = np.stack((first + 3.0 * np.arange(60), 0.5 * np.arange(60)), axis=1)
    values[7, 0] = np.nan
    with Spool(("wh", "temp")) as spool:
        spool.add(["a", "b"] * 30, np.arange(60), values)
        said = spool.history()
        assert (said.fine, said.values.dtype) == ((("wh",), np.float64) if first else ((), np.float32))
        right = np.concatenate((values[::2], values[1::2]))
        np.testing.assert_array_equal(said.values, right)
        right[33, 0] = right[32, 0]
        np.testing.assert_array_equal(said.carried, right)

"""Ticks of many streams laid out stream after stream, on disk where they are many, and their splits in time.

Owns order and extent; knows no model. Shapes: N ticks, S streams, F features.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import DataError
from streamrnn.process.scratch import ScratchFolder
from streamrnn.train.fineness import find_fine, passes


@dataclass(frozen=True, slots=True)
class History:
    """S streams one after the other, each in arrival order; arrays may be memory maps.

    starts (S + 1,): stream s has the ticks starts[s] .. starts[s + 1] - 1. time_ms (N,) int64 event time;
    values (N, F), NaN = missing, float32, or float64 where `fine`, the features whose steps float32 would lose, are
    any; carried (N, F) each feature's last observed value up to this tick.
    """

    features: tuple[str, ...]
    streams: tuple[str, ...]
    starts: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    values: NDArray[np.floating]
    carried: NDArray[np.floating]
    fine: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time_ms)

    def columns(self, names: Sequence[str]) -> list[int]:
        """The places of these features among the history's."""
        return [self.features.index(name) for name in names]


class Extent(NamedTuple):
    """A run of one stream's ticks: start .. stop - 1, and where the stream itself begins."""

    start: int
    stop: int
    stream_start: int

    @property
    def length(self) -> int:
        """Ticks in it."""
        return self.stop - self.start


class Split(NamedTuple):
    """Each part in stream order; streams without a tick in a part are left out of it."""

    train: list[Extent]
    validation: list[Extent]
    test: list[Extent]


class Spool:
    """Takes ticks in any interleaving and gives a History: `with Spool(features) as spool: spool.add(...)`.

    Two passes over files in `folder` (a temporary one if None) sort by stream in bounded memory; the files go
    with the `with`, so use the history inside it.
    """

    def __init__(self, features: Sequence[str], folder: Path | None = None) -> None:
        self._features = tuple(features)
        try:
            self._scratch = ScratchFolder("streamrnn-history-", folder)
        except OSError as error:
            raise DataError(f"cannot spool the history: {error}") from error
        root = self._scratch.path
        self._paths = {name: root / name for name in ("code", "time", "values")}
        self._sorted = {name: root / f"sorted-{name}" for name in ("time", "values", "narrow", "carried")}
        self._files = {name: path.open("wb") for name, path in self._paths.items()}
        self._codes: dict[str, int] = {}
        self._count = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._scratch:
            for file in self._files.values():
                with suppress(OSError):  # on a full disk what is buffered still cannot be written
                    file.close()

    def add(self, streams: Sequence[str], time_ms: NDArray[np.int64], values: NDArray[np.floating]) -> None:
        """Append n ticks: streams n names, time_ms (n,), values (n, F). DataError when the disk is full."""
        codes = self._codes
        columns: dict[str, NDArray[np.generic]] = {
            "code": np.array([codes.setdefault(name, len(codes)) for name in streams], dtype=np.int32),
            "time": np.ascontiguousarray(time_ms, dtype=np.int64),
            "values": np.ascontiguousarray(values, dtype=np.float64),
        }
        try:
            for name, column in columns.items():
                self._files[name].write(column.tobytes())
        except OSError as error:
            raise DataError(f"cannot spool the history to {self._scratch.path}: {error.strerror}") from error
        self._count += len(streams)

    def history(self) -> History:
        """All that was added; DataError when that is nothing."""
        if not self._count:
            raise DataError("the history has no ticks")
        try:
            for file in self._files.values():
                file.flush()
            return self._sort()
        except OSError as error:
            raise DataError(f"cannot sort the history in {self._scratch.path}: {error.strerror}") from error

    def _sort(self) -> History:
        n, width = self._count, len(self._features)
        code = np.memmap(self._paths["code"], np.int32, "r", shape=(n,))
        time_ms = np.memmap(self._paths["time"], np.int64, "r", shape=(n,))
        values = np.memmap(self._paths["values"], np.float64, "r", shape=(n, width))
        starts = np.concatenate(([0], np.cumsum(np.bincount(code, minlength=len(self._codes)))))
        by_time = np.memmap(self._allocated("time", 8 * n), np.int64, "r+", shape=(n,))
        by_values = np.memmap(self._allocated("values", 8 * n * width), np.float64, "r+", shape=(n, width))
        following = starts[:-1].copy()
        for at in passes(n):
            places = _places(code[at], following)
            by_time[places], by_values[places] = time_ms[at], values[at]
        fine = find_fine(by_values, starts)
        if not fine.any():
            by_values = self._narrowed(by_values)
        size = by_values.dtype.itemsize * n * width
        carried = np.memmap(self._allocated("carried", size), by_values.dtype, "r+", shape=(n, width))
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            _carry(by_values[start:stop], carried[start:stop])
        names = tuple(compress(self._features, fine.tolist()))
        return History(self._features, tuple(self._codes), starts, by_time, by_values, carried, names)

    def _narrowed(self, values: "np.memmap[Any, np.dtype[np.float64]]") -> "np.memmap[Any, np.dtype[Any]]":
        """The same as float32; the file of the wide ones goes."""
        narrow = np.memmap(self._allocated("narrow", values.nbytes // 2), np.float32, "r+", shape=values.shape)
        for at in passes(len(values)):
            narrow[at] = values[at]
        self._sorted["values"].unlink()
        return narrow

    def _allocated(self, name: str, size: int) -> Path:
        """A file with all its blocks: what is written to a map of one with holes kills on a full disk (SIGBUS)."""
        path = self._sorted[name]
        with path.open("wb") as file:
            if sys.platform == "linux":
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        return path


def _places(code: NDArray[np.int32], following: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each tick goes; `following` (S,), the next free place of each stream, moves on."""
    order = np.argsort(code, kind="stable")
    counts = np.bincount(code, minlength=len(following))
    firsts = np.cumsum(counts) - counts
    places = np.empty(len(code), dtype=np.int64)
    places[order] = following[code[order]] + np.arange(len(code)) - firsts[code[order]]
    following += counts
    return places


def _carry(values: NDArray[np.floating], carried: NDArray[np.floating]) -> None:
    """Forward fill (T, F) of one stream; NaN before a feature's first observation."""
    before = np.full(values.shape[1], np.nan, dtype=values.dtype)
    for at in passes(len(values)):
        part = np.vstack((before, values[at]))
        rows = np.where(np.isnan(part), 0, np.arange(len(part))[:, None])
        part = np.take_along_axis(part, np.maximum.accumulate(rows, axis=0), axis=0)
        carried[at], before = part[1:], part[-1]


def split_by_time(history: History, shares: tuple[float, float, float]) -> Split:
    """Train, validation and test in time order at two moments that hold for all streams.

    shares: parts of the ticks, sum 1. A stream whose event times go back is cut where a moment is first
    reached. DataError when a part is left without ticks.
    """
    moments = _moments(history.time_ms, _edges(shares))

    def cuts(start: int, stop: int) -> list[int]:
        reached = np.maximum.accumulate(history.time_ms[start:stop])
        return [start + at for at in np.searchsorted(reached, moments).tolist()]

    return _split(history, shares, cuts)


def split_each(history: History, shares: tuple[float, float, float]) -> Split:
    """As split_by_time, but every stream at its own shares: for streams that were not recorded together."""
    edges = _edges(shares)

    def cuts(start: int, stop: int) -> list[int]:
        return [start + round((stop - start) * edge) for edge in edges]

    return _split(history, shares, cuts)


def _edges(shares: tuple[float, float, float]) -> tuple[float, float]:
    """Where train and validation end, as parts of the whole."""
    whole = sum(shares)
    if not (min(shares) >= 0 and abs(whole - 1) <= 1e-6):
        raise DataError(f"the shares of train, validation and test must not be negative and sum to 1: {shares}")
    return shares[0] / whole, (shares[0] + shares[1]) / whole


def _split(history: History, shares: tuple[float, float, float], cuts: Callable[[int, int], list[int]]) -> Split:
    parts: tuple[list[Extent], list[Extent], list[Extent]] = ([], [], [])
    for start, stop in extents(history):
        edges = [start, *cuts(start, stop), stop]
        for part, (a, b) in zip(parts, pairwise(edges), strict=True):
            if a < b:
                part.append(Extent(a, b, start))
    for name, part, share in zip(Split._fields, parts, shares, strict=True):
        if share and not part:
            raise DataError(f"{len(history)} ticks leave none for {name}: widen its share or the history")
    return Split(*parts)


def _moments(time_ms: NDArray[np.int64], edges: tuple[float, float]) -> tuple[int, int]:
    """The times of the first ticks past these edges; past all of them, a moment after the last."""
    ordered = np.sort(time_ms)
    ordered = np.append(ordered, ordered[-1] + 1)
    first, second = (int(ordered[round(edge * len(time_ms))]) for edge in edges)
    return first, second


def extents(history: History) -> Iterator[tuple[int, int]]:
    """(start, stop) of every stream."""
    yield from zip(history.starts[:-1].tolist(), history.starts[1:].tolist(), strict=True)

"""The demo's data: seven streams of sensors and prices that a PyPI package ships, merged into one feed.

Owns which files and columns are taken. Knows no model and no Kafka. Shapes: n ticks, one feature.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import ConfigError
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import read_table

FEATURE = "value"


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of the package: its streams by the name they have there (None: the file is one), what they measure."""

    name: str
    columns: TableColumns
    streams: dict[str | None, str]
    unit: str


FILES = (
    RecordedFile(
        "sea_surface_temperature.csv.gz",
        TableColumns(time=("time (UTC)",), features=("temperature (celsius)",)),
        {None: "sea surface"},
        "°C",
    ),
    RecordedFile(
        "CGM.csv.gz", TableColumns(time=("datetime",), features=("glucose",)), {None: "blood glucose"}, "mg/dL"
    ),
    RecordedFile(
        "stocks.csv.gz",
        TableColumns(stream=("Ticker",), time=("Date",), features=("Adj Close",)),
        {ticker: ticker for ticker in ("AAPL", "FB", "GOOG", "IBM", "MSFT")},
        "$",
    ),
)
"""Daily closes are adjusted for splits; the glucose sensor reads every 5 minutes, the sea buoy every 30."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One stream as recorded: time_ms (n,) int64, values (n,) float32, NaN = missing."""

    stream: str
    unit: str
    time_ms: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Playlist:
    """Ticks of all streams in the order they are played: streams n names, time_ms (n,), values (n, 1)."""

    streams: list[str]
    time_ms: NDArray[np.int64]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.streams)


def load_recorded(folder: Path | None = None) -> list[Recorded]:
    """All streams in event-time order; ConfigError when the package is not installed."""
    folder = folder or _packaged()
    return [recorded for file in FILES for recorded in _read(folder / file.name, file)]


def _packaged() -> Path:
    found = importlib.util.find_spec("bokeh_sampledata")
    if found is None or found.origin is None:
        raise ConfigError("the demo's data is not installed: pip install 'streamrnn[demo]'")
    return Path(found.origin).parent / "_data"


def _read(path: Path, file: RecordedFile) -> list[Recorded]:
    batches = list(read_table(path, file.columns))
    names = np.array([name for batch in batches for name in batch.streams], dtype=object)
    times = np.concatenate([batch.time_ms for batch in batches])
    values = np.concatenate([batch.values[:, 0] for batch in batches]).astype(np.float32)
    result = []
    for theirs, ours in file.streams.items():
        mine = np.flatnonzero(names == theirs) if theirs else np.arange(len(names))
        mine = mine[np.argsort(times[mine], kind="stable")]
        result.append(Recorded(ours, file.unit, times[mine], values[mine]))
    return result


def cut(recorded: Sequence[Recorded], train_share: float) -> tuple[Playlist, Playlist]:
    """The first part of every stream, to train on, and the rest, to be played."""
    at = [int(train_share * len(one.values)) for one in recorded]
    first = [(one, 0, edge) for one, edge in zip(recorded, at, strict=True)]
    rest = [(one, edge, len(one.values)) for one, edge in zip(recorded, at, strict=True)]
    return _merge(first), _merge(rest)


def _merge(parts: Sequence[tuple[Recorded, int, int]]) -> Playlist:
    """Interleaved so that all streams begin and end together, whatever their own pace: they are years apart."""
    along = np.concatenate([(np.arange(stop - start) + 0.5) / max(1, stop - start) for _, start, stop in parts])
    order = np.argsort(along, kind="stable")
    names = [one.stream for one, start, stop in parts for _ in range(stop - start)]
    times = np.concatenate([one.time_ms[start:stop] for one, start, stop in parts])
    values = np.concatenate([one.values[start:stop] for one, start, stop in parts])
    return Playlist([names[i] for i in order.tolist()], times[order], values[order, None])

"""Histories laid out by plain Python, and streams to fill them with."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.train.history import History

Tick = tuple[int, tuple[float, ...]]
"""Event time and values, NaN = missing."""
Streams = dict[str, list[Tick]]
Values = NDArray[np.float32]
T0 = 1_700_000_000_000


def forward_filled(values: Sequence[tuple[float, ...]]) -> list[list[float]]:
    """Each feature's last observed value up to each tick, one tick after the other."""
    last, filled = [math.nan] * len(values[0]), []
    for row in values:
        last = [before if math.isnan(value) else value for value, before in zip(row, last, strict=True)]
        filled.append(last)
    return filled


def history_of(features: tuple[str, ...], streams: Streams) -> History:
    """What a Spool makes of these streams, without one."""
    lengths = [len(ticks) for ticks in streams.values()]
    ticks = [tick for stream in streams.values() for tick in stream]
    carried = [row for stream in streams.values() for row in forward_filled([values for _, values in stream])]
    return History(
        features,
        tuple(streams),
        np.cumsum([0, *lengths]),
        np.array([time_ms for time_ms, _ in ticks], np.int64),
        np.array([values for _, values in ticks], np.float32),
        np.array(carried, np.float32),
    )


def ticks_of(values: NDArray[np.floating], step_ms: int = 60_000) -> list[Tick]:
    """Values (T,) or (T, F) as ticks a minute apart."""
    rows = np.asarray(values, np.float64).reshape(len(values), -1).tolist()
    return [(T0 + step_ms * t, tuple(row)) for t, row in enumerate(rows)]


def shaky_streams(seed: int, lengths: Sequence[int], features: int) -> Streams:
    """Random walks about 3 with values below 0, missing ones, gaps, equal times and times that go back."""
    rng, streams = np.random.default_rng(seed), Streams()
    for n, length in enumerate(lengths):
        values = 3 + rng.normal(size=(length, features)).cumsum(0).astype(np.float32)
        values[rng.random(values.shape) < 0.2] = np.nan
        times = T0 + 86_400_000 * n + rng.choice([-5_000, 0, 1_000, 60_000, 86_400_000], length).cumsum()
        streams[f"s{n}"] = [(int(t), tuple(row)) for t, row in zip(times, values.tolist(), strict=True)]
    return streams


numbers = st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-20 else 0.0) | st.just(math.nan)
"""Values a feature may have; what differs by less than 1e-36 counts as constant."""

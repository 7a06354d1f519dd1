"""What the compiled step reads and writes, as tuples of arrays: of the model, rows and a batch. Computes nothing.

Shapes: m rows of a tile, H hidden, P = H rounded up to 16, F features, K' scored horizons, O targets.
"""

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.step.policies import Rules
from streamrnn.nn.kernels.transforms import Transforms

TILE = 32
"""Rows stepped together: their states and gates stay in the first-level cache."""
_Line = Annotated[NDArray[np.float32], 1]
_Tile = Annotated[NDArray[np.float32], 2]
_Tiles = Annotated[NDArray[np.float32], 3]
_Places = Annotated[NDArray[np.int64], 1]


class Network(NamedTuple):
    """What a model computes: kind and width of its cells, their weights and places (nn/kernels/compiled_cells.py),
    its head, and skip (O, .), each target's packed on its own."""

    kind: int
    hidden: int
    weights: _Line
    places: Annotated[NDArray[np.int64], 2]
    head: _Line
    head_bias: _Line
    skip: _Tile


class Layout(NamedTuple):
    """First columns in the slab: `states` (L, 2) of h and c (-1: none), the scorer's rings, and the lags."""

    states: Annotated[NDArray[np.int64], 2]
    last: int
    pending: int
    past: int
    rolling: int
    steps: int
    last_time: int
    last_offset: int
    last_order: int
    newest_time: int
    poisoned: int
    horizons: _Places
    kept: _Places
    middle: int
    lags: int


class Scratch(NamedTuple):
    """Tiles: h and c (L, m, P), x (m, D), gates a (m, 4 P), u (m, P), head (m, .), relative (m, P lags) and skipped
    (m, .) of one target at a time."""

    h: _Tiles
    c: _Tiles
    x: _Tile
    a: _Tile
    u: _Tile
    head: _Tile
    relative: _Tile
    skipped: _Tile


class Constants(NamedTuple):
    """All that a step reads of its model, and a row without ticks."""

    net: Network
    t: Transforms
    at: Layout
    rules: Rules
    scratch: Scratch
    blank_floats: _Line
    blank_integers: _Places


class StreamTable(NamedTuple):
    """The rows of all streams, and what is noted of each (rows/slots.py).

    numbers: the table where values lie, `floats`, or `integers` as float64 where the model has that precision.
    """

    floats: Any
    integers: Any
    numbers: Any
    used: Any
    origin: Any
    dirty: Any


class TickColumns(NamedTuple):
    """Ticks, and which of them begin a stream."""

    values: Any
    time_ms: Any
    offset: Any
    order: Any
    fresh: Any


class Yielded(NamedTuple):
    """What the ticks yield (PredictionBatch); misses of no tick where they are not asked for; sums (6, K', O)."""

    values: Any
    residual: Any
    misses: Any
    steps: Any
    origin: Any
    status: Any
    sums: Any


class Before(NamedTuple):
    """The rows of a batch as they were; none where the step is not to be undone."""

    floats: Any
    integers: Any
    origin: Any

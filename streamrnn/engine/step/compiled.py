"""A batch on the CPU in one call that holds no interpreter lock: rows are read and written where they lie.

The slow twin is blocks.py. A tick that is refused, or whose state or prediction is not finite, leaves its state
as it was (law 6).
Shapes: n ticks, m rows of a tile, H hidden, P = H rounded up to 16.
"""

import logging
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.rows import slots as slots_
from streamrnn.engine.rows.columns import fresh_rows
from streamrnn.engine.rows.key_table import KeyTable
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.rows.slots import Slots
from streamrnn.engine.rows.undo import Layer
from streamrnn.engine.step import origins, policies, score, tile, tile_tuples
from streamrnn.engine.step.policies import Order, Quarantine, Rules, rules_of
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.tile import keep_rows, run_tile
from streamrnn.engine.step.tile_tuples import (
    TILE,
    Before,
    Constants,
    Layout,
    Network,
    Scratch,
    StreamTable,
    TickColumns,
    Yielded,
)
from streamrnn.engine.step.waves import Plan, compile_waves
from streamrnn.nn import heads
from streamrnn.nn.kernels import compiled_cells, compiled_heads, matmul, transforms
from streamrnn.nn.kernels.compiled_cells import pack_stack
from streamrnn.nn.kernels.matmul import pack, padded
from streamrnn.nn.kernels.transforms import transforms_of
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.process.compiling import compiled_with, tuple_at, words_of
from streamrnn.ticks import Errors, PredictionBatch, TickBatch

log = logging.getLogger(__name__)


class Compiled:
    """The executor for the CPU; compiles on first use, a few seconds once on a machine."""

    def __init__(self, model: Model, slab: Slab, slots: Slots, scorer: Scorer, rules: Rules) -> None:
        spec = model.spec
        self._slab, self._slots = slab, slots
        self._dtype, features = np.dtype(spec.precision), len(spec.features)
        self._waiting = (len(spec.scored_horizons), len(spec.targets))
        self._said = (len(spec.horizons), len(spec.targets), spec.levels)
        self._constants = _constants(model, slab, scorer, rules)
        self._words = np.array(words_of(self._constants), np.int64)
        self._lines = np.zeros((2, TILE, features), self._dtype)
        self._warm_up(features)

    def _warm_up(self, features: int) -> None:
        begun, none = time.perf_counter(), np.zeros(0, np.int64)
        numbers = np.zeros((0, features), self._dtype)
        ticks = TickBatch(none.astype(np.int32), none, none, none, [], numbers, none)
        self.run(ticks, Plan(none, none, none), np.zeros(0, np.bool_), None, False)
        log.log(
            logging.INFO if time.perf_counter() - begun > 2 else logging.DEBUG,
            "the CPU step is compiled (%.1f s)", time.perf_counter() - begun,
        )  # fmt: skip

    def run(
        self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_], layer: Layer | None, has_misses: bool
    ) -> PredictionBatch:
        """See executors.py."""
        n, device = len(ticks), self._slots
        floats, integers = self._slab.tables
        kept = 0 if layer is None else len(plan.rows)
        before = Before(
            np.empty((kept, floats.shape[1]), np.float32),
            np.empty((kept, integers.shape[1]), np.int64),
            np.empty(kept, np.uint8),
        )
        said = Yielded(
            values=np.empty((n, *self._said), self._dtype),
            residual=np.empty((n, self._waiting[1]), self._dtype),
            misses=np.empty((n if has_misses else 0, *self._waiting), np.float64),
            steps=np.empty(n, np.int64),
            origin=np.empty(n, np.uint8),
            status=np.empty(n, np.uint8),
            sums=np.zeros((6, *self._waiting)),
        )
        advance(
            self._words, self._lines,
            floats, integers, floats if self._dtype == np.float32 else integers.view(np.float64),
            device.used, device.origin, device.dirty, plan.rows, plan.order, plan.sizes,
            _plain(ticks.values), _plain(ticks.time_ms), _plain(ticks.offset), _plain(ticks.order), fresh,
            said.values, said.residual, said.misses, said.steps, said.origin, said.status, said.sums,
            before.floats, before.integers, before.origin, layer is None,
        )  # fmt: skip
        if layer is not None:
            layer.note(plan.rows, self._slab.view(before.floats, before.integers), before.origin)
        return PredictionBatch(
            ticks, said.values, said.residual, said.steps, said.origin, said.status, Errors(*said.sums),
            plan.sizes.tolist(), said.misses if has_misses else None,
        )  # fmt: skip


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """The column as compiled code takes it: it is compiled for one kind of arrays."""
    return column if column.flags.carray else column.copy()


def _constants(model: Model, slab: Slab, scorer: Scorer, rules: Rules) -> Constants:
    said = len(model.head.bias)
    outputs = padded(said)
    head, bias = np.zeros((outputs, model.spec.hidden), np.float32), np.zeros(outputs, np.float32)
    head[:said] = model.head.weight.detach().float().cpu().numpy()
    bias[:said] = model.head.bias.detach().float().cpu().numpy()
    return Constants(
        Network(*pack_stack(model.stack, model.spec.cell), pack(head).ravel(), bias, _skip(model)),
        transforms_of(model),
        _layout(model, slab, scorer),
        rules,
        _scratch(model, outputs),
        slab.fresh.floats[0].numpy(),
        slab.fresh.integers[0].numpy(),
    )


def _layout(model: Model, slab: Slab, scorer: Scorer) -> Layout:
    starts = {name: column.start for name, column in slab.layout.columns.items()}
    states = [(starts[f"cell.{layer}.h"], starts.get(f"cell.{layer}.c", -1)) for layer in range(model.spec.layers)]
    return Layout(
        states=np.array(states, dtype=np.int64),
        **{name: starts[name] for name in Layout._fields[1:11]},
        horizons=np.array(model.spec.scored_horizons, dtype=np.int64),
        kept=np.array(scorer.kept, dtype=np.int64),
        middle=scorer.middle,
        lags=starts.get("lags", -1),
    )


def _skip(model: Model) -> NDArray[np.float32]:
    """(O, .) each target's skip weights, packed; without a column for a model without lags."""
    if not model.spec.lags:
        return np.zeros((len(model.spec.targets), 0), np.float32)
    given = model.skip.detach().float().cpu().numpy()
    wide = np.zeros((given.shape[0], padded(given.shape[1]), given.shape[2]), np.float32)
    wide[:, : given.shape[1]] = given
    return np.stack([pack(target).ravel() for target in wide])


def _scratch(model: Model, outputs: int) -> Scratch:
    spec = model.spec
    layers, wide = spec.layers, padded(spec.hidden)

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    return Scratch(
        *(zeros(layers, TILE, wide), zeros(layers, TILE, wide), zeros(TILE, spec.input_width)),
        *(zeros(TILE, 4 * wide), zeros(TILE, wide), zeros(TILE, outputs)),
        *(zeros(TILE, spec.lags), zeros(TILE, outputs)),
    )


_constants_at = tuple_at(Constants)


@compiled_with(
    compiled_cells, matmul, transforms, heads, compiled_heads, policies, score, origins, slots_, tile, tile_tuples,
    is_borrowing=True,
)  # fmt: skip
def advance(
    words: Any, lines: Any, floats: Any, integers: Any, numbers: Any, used: Any, owed: Any, dirty: Any,
    rows: Any, planned: Any, sizes: Any, values: Any, time_ms: Any, offset: Any, order: Any, fresh: Any,
    predicted: Any, residual: Any, misses: Any, steps: Any, origin: Any, status: Any, sums: Any,
    before_floats: Any, before_integers: Any, before_origin: Any, is_warm: bool,
) -> None:  # fmt: skip
    """Step a planned batch, wave by wave and tile by tile; a row is copied just before its first step."""
    constants, begin = _constants_at(words), 0
    table = StreamTable(floats, integers, numbers, used, owed, dirty)
    columns = TickColumns(values, time_ms, offset, order, fresh)
    said = Yielded(predicted, residual, misses, steps, origin, status, sums)
    before = Before(before_floats, before_integers, before_origin)
    for size in sizes:
        for first in range(0, size, TILE):
            stop = min(first + TILE, size)
            if begin == 0 and len(before_origin):
                keep_rows(table, before, rows[first:stop], first)
            run_tile(
                constants, table, columns, said, lines, rows[first:stop], planned[begin + first : begin + stop],
                rows[stop : min(stop + TILE, size)], is_warm,
            )  # fmt: skip
        begin += size


def compile_step() -> None:
    """Compile the step for every model, or find it compiled."""
    spec = ModelSpec(name="any", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=1)
    model = Model(spec)
    scorer = Scorer(spec, torch.device("cpu"))
    slab = Slab(fresh_rows(model, scorer), torch.device("cpu"))
    Compiled(model, slab, Slots(KeyTable()), scorer, rules_of(Order(), Quarantine()))
    compile_waves()

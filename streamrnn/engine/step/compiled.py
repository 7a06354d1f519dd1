"""A batch on the CPU in one call that holds no interpreter lock: rows are read and written where they lie.

The slow twin is blocks.py. A tick that is refused, or whose state or prediction is not finite, leaves its state
as it was (law 6).
Shapes: n ticks, m rows of a tile, H hidden, P = H rounded up to 16.
"""

import logging
import math
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.rows.columns import fresh_rows
from streamrnn.engine.rows.key_table import KeyTable
from streamrnn.engine.rows.slab import Slab
from streamrnn.engine.step import policies, score, tile
from streamrnn.engine.step.outcome import Outcome
from streamrnn.engine.step.policies import Order, Quarantine, Rules, rules_of
from streamrnn.engine.step.score import Scorer
from streamrnn.engine.step.tile import TILE, Layout, Network, Scratch, run_tile
from streamrnn.engine.step.waves import Plan
from streamrnn.nn import heads
from streamrnn.nn.kernels import compiled_cells, compiled_heads, matmul, transforms
from streamrnn.nn.kernels.compiled_cells import pack_stack
from streamrnn.nn.kernels.matmul import pack, padded
from streamrnn.nn.kernels.transforms import transforms_of
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.process.compiling import compiled_with
from streamrnn.ticks import TickBatch

log = logging.getLogger(__name__)


class Compiled:
    """The executor for the CPU; compiles on first use, a few seconds once on a machine."""

    def __init__(self, model: Model, slab: Slab, scorer: Scorer, rules: Rules) -> None:
        spec = model.spec
        self._slab, self._rules = slab, rules
        self._dtype = np.dtype(spec.precision)
        self._waiting = (len(spec.scored_horizons), len(spec.targets))
        self._said = (len(spec.horizons), len(spec.targets), spec.levels)
        packed = pack_stack(model.stack, spec.cell)
        outputs = padded(math.prod(self._said))
        head, bias = np.zeros((outputs, spec.hidden), np.float32), np.zeros(outputs, np.float32)
        head[: math.prod(self._said)] = model.head.weight.detach().float().cpu().numpy()
        bias[: math.prod(self._said)] = model.head.bias.detach().float().cpu().numpy()
        self._network = Network(*packed, pack(head).ravel(), bias, _skip(model))
        self._transforms = transforms_of(model)
        self._layout = _layout(model, slab, scorer)
        self._scratch = _scratch(model, outputs)
        self._warm_up(len(spec.features))

    def _warm_up(self, features: int) -> None:
        begun = time.perf_counter()
        none, numbers = np.zeros(0, np.int64), np.zeros((0, features), self._dtype)
        self._call(Plan(none, none, [0]), numbers, none, none, none, np.zeros(0, np.bool_))
        log.log(
            logging.INFO if time.perf_counter() - begun > 2 else logging.DEBUG,
            "the CPU step is compiled (%.1f s)", time.perf_counter() - begun,
        )  # fmt: skip

    def run(self, ticks: TickBatch, plan: Plan, fresh: NDArray[np.bool_]) -> Outcome:
        """Step every tick; `fresh` (n,) marks those whose row is to be initialised first."""
        values = ticks.values.astype(self._dtype, copy=False)
        return self._call(plan, values, ticks.time_ms, ticks.offset, ticks.order, fresh)

    def _call(
        self,
        plan: Plan,
        values: NDArray[np.floating],
        time_ms: NDArray[np.int64],
        offset: NDArray[np.int64],
        order: NDArray[np.int64],
        fresh: NDArray[np.bool_],
    ) -> Outcome:
        n = len(values)
        outcome = Outcome(
            said=np.empty((n, *self._said), self._dtype),
            forecast=np.empty((n, *self._waiting), self._dtype),
            persistence=np.empty((n, *self._waiting), self._dtype),
            steps=np.empty(n, np.int64),
            status=np.empty(n, np.uint8),
        )
        slab, blank = self._slab.rows, self._slab.fresh
        floats, integers = slab.floats.numpy(), slab.integers.numpy()
        numbers = floats if self._dtype == np.float32 else integers.view(np.float64)
        advance(
            self._network, self._transforms, self._layout, self._rules, self._scratch, floats, integers, numbers,
            blank.floats.numpy(), blank.integers.numpy(), plan.rows, plan.order, np.array(plan.sizes),
            np.ascontiguousarray(values), np.ascontiguousarray(time_ms), np.ascontiguousarray(offset),
            np.ascontiguousarray(order), fresh, outcome,
        )  # fmt: skip
        return outcome


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
    layers, wide, inputs, features = spec.layers, padded(spec.hidden), spec.input_width, len(spec.features)

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    def values() -> NDArray[np.floating]:
        return np.zeros((TILE, features), np.dtype(spec.precision))

    return Scratch(
        *(zeros(layers, TILE, wide), zeros(layers, TILE, wide), zeros(TILE, inputs), zeros(TILE, 4 * wide)),
        *(zeros(TILE, wide), zeros(TILE, outputs), values(), values()),
        *(zeros(TILE, spec.lags), zeros(TILE, outputs)),
    )


@compiled_with(compiled_cells, matmul, transforms, heads, compiled_heads, policies, score, tile, is_borrowing=True)
def advance(
    net: Any, t: Any, at: Any, rules: Any, scratch: Any, floats: Any, integers: Any, numbers: Any,
    blank_floats: Any, blank_integers: Any, rows: Any, planned: Any, sizes: Any, values: Any,
    time_ms: Any, offset: Any, order: Any, fresh: Any, out: Any,
) -> None:  # fmt: skip
    """Step a planned batch, wave by wave and tile by tile."""
    begin = 0
    for size in sizes:
        for first in range(0, size, TILE):
            stop = min(first + TILE, size)
            run_tile(
                net, t, at, rules, scratch, floats, integers, numbers, blank_floats, blank_integers,
                rows[first:stop], planned[begin + first : begin + stop], values, time_ms, offset,
                order, fresh, out,
            )  # fmt: skip
        begin += size


def compile_step() -> None:
    """Compile the step for every model, or find it compiled."""
    spec = ModelSpec(name="any", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=1)
    model = Model(spec)
    scorer = Scorer(spec, torch.device("cpu"))
    slab = Slab(fresh_rows(model, scorer), torch.device("cpu"))
    Compiled(model, slab, scorer, rules_of(Order(), Quarantine()))
    KeyTable()

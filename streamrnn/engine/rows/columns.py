"""The columns of a stream's row: what the model carries, what waits to be scored, what orders its ticks."""

import torch

from streamrnn.engine.rows.layout import RowLayout, lay_out
from streamrnn.engine.step.score import Scorer
from streamrnn.nn.cells import State
from streamrnn.nn.model import NEVER_MS, Model


def fresh_rows(model: Model, scorer: Scorer) -> State:
    """One row of a stream that has had no tick.

    Beside the model's and the scorer's, int64 (1,): last_offset of the last tick seen, refused ones included;
    last_order and newest_time, the highest order and event time stepped; poisoned, ticks in a row that were not
    stepped because the state would not be finite.
    """
    rows = model.state(1) | scorer.fresh()
    device = rows["steps"].device

    def number(value: int) -> torch.Tensor:
        return torch.full((1,), value, dtype=torch.int64, device=device)

    own = {"last_offset": -1, "last_order": NEVER_MS, "newest_time": NEVER_MS, "poisoned": 0}
    return rows | {name: number(value) for name, value in own.items()}


def layout_of(model: Model) -> RowLayout:
    """How the rows of an engine for this model will lie, on whatever device."""
    return lay_out(fresh_rows(model, Scorer(model.spec, torch.device("cpu"))))

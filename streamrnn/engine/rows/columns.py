"""The columns of a stream's row: what the model carries, what waits to be scored, what orders its ticks."""

import msgspec
import torch

from streamrnn.engine.rows.slab import Column, Slab
from streamrnn.engine.step.score import Scorer
from streamrnn.errors import EngineError
from streamrnn.nn.cells import State
from streamrnn.nn.model import NEVER_MS, Model
from streamrnn.ticks import StreamRows


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


def text_of(columns: dict[str, Column]) -> str:
    """Where each column lies, in one line that is the same for the same layout."""
    lines = [[name, _kind(column), column.start, column.width] for name, column in columns.items()]
    return msgspec.json.encode(lines).decode()


def _kind(column: Column) -> str:
    return "float64" if column.is_double else "int64" if column.is_integer else "float32"


def check_rows(rows: StreamRows, slab: Slab) -> None:
    """EngineError for rows of another layout than the slab's, or of a stream twice."""
    n, fresh = len(rows.streams), slab.fresh
    due = (n, fresh.floats.shape[1]), (n, fresh.integers.shape[1])
    if (rows.floats.shape, rows.integers.shape) != due:
        raise EngineError(f"rows of shapes {rows.floats.shape} and {rows.integers.shape}, not {due}")
    if len(set(rows.streams)) != n:
        raise EngineError("a stream has two rows")

"""The state of all streams: named columns of two tensors, one row per slot. Knows rows, not streams.

Float columns lie in one (S, W) float32 tensor and integer columns in one (S, V) int64 tensor, so that
a batch is gathered and scattered with one index operation each. A float64 column lies among the integers, as bits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.engine.rows.layout import Column, lay_out
from streamrnn.engine.rows.reserved import Reserved
from streamrnn.engine.rows.slots import MORE
from streamrnn.nn.cells import State


@dataclass(frozen=True, slots=True)
class Rows:
    """Gathered rows: floats (B, W) float32 and integers (B, V) int64, viewed by name."""

    floats: Tensor
    integers: Tensor
    columns: dict[str, Column]

    def __getitem__(self, name: str) -> Tensor:
        column = self.columns[name]
        table = self.integers if column.is_integer else self.floats
        if column.is_scalar:
            return table[:, column.start]
        part = table.narrow(1, column.start, column.width)
        return part.view(torch.float64) if column.is_double else part

    def slice(self, start: int, stop: int) -> "Rows":
        """A view of rows start .. stop - 1."""
        return Rows(self.floats[start:stop], self.integers[start:stop], self.columns)

    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)


class Slab:
    """S rows of state, `rows`, made in the image of `fresh`, one initialised row by name ((1, width) or (1,))."""

    def __init__(self, fresh: State, device: torch.device) -> None:
        self.layout = lay_out(fresh)
        columns = self.layout.columns
        self.fresh = Rows(
            torch.empty(1, self.layout.width(False), device=device),
            torch.empty(1, self.layout.width(True), dtype=torch.int64, device=device),
            columns,
        )
        for name, row in fresh.items():
            self.fresh[name].copy_(row)
        self._host = (Reserved(np.float32, self.layout.width(False)), Reserved(np.int64, self.layout.width(True)))
        self.rows = Rows(self.fresh.floats[:0], self.fresh.integers[:0], columns)
        self.grow(1)

    @property
    def size(self) -> int:
        """S, slots that have memory."""
        return self.rows.floats.shape[0]

    @property
    def tables(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The rows on the host: floats (S, W) and integers (S, V)."""
        assert self._is_host
        return self._host[0].rows, self._host[1].rows

    @property
    def row_bytes(self) -> int:
        """Bytes a stream takes."""
        return self.fresh.floats.nbytes + self.fresh.integers.nbytes

    @property
    def nbytes(self) -> int:
        """Bytes allocated now."""
        return self.size * self.row_bytes

    def grow(self, size: int) -> None:
        """Make room for at least `size` slots, what is new as `fresh`; rows keep their values.

        On the host they keep their place, too, so that no step waits for them to be copied; on a device, whose
        copies are fast, there is twice the room.
        """
        before = self.size
        if size <= before:
            return
        extra = max(size - before, MORE if self._is_host else max(before, MORE))
        self.rows = Rows(
            self._longer(self.rows.floats, self.fresh.floats, self._host[0], extra),
            self._longer(self.rows.integers, self.fresh.integers, self._host[1], extra),
            self.layout.columns,
        )
        self.rows.floats[before:] = self.fresh.floats
        self.rows.integers[before:] = self.fresh.integers

    def _longer(self, rows: Tensor, fresh: Tensor, table: Reserved, extra: int) -> Tensor:
        if not self._is_host:
            return torch.cat((rows, fresh.expand(extra, -1)))
        table.grow(len(rows) + extra)
        return torch.from_numpy(table.rows)

    @property
    def _is_host(self) -> bool:
        return self.fresh.floats.device.type == "cpu"

    def gather(self, index: Tensor) -> Rows:
        """Copies of rows `index` (B,) int64."""
        return Rows(
            self.rows.floats.index_select(0, index), self.rows.integers.index_select(0, index), self.layout.columns
        )

    def scatter(self, index: Tensor, rows: Rows) -> None:
        """Write rows back to `index` (B,), each at most once."""
        self.rows.floats.index_copy_(0, index, rows.floats)
        self.rows.integers.index_copy_(0, index, rows.integers)

    def read(self, index: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Copies of rows `index` (B,) in host memory: floats (B, W) and integers (B, V)."""
        rows = self.gather(self.index(index))
        return rows.floats.cpu().numpy(), rows.integers.cpu().numpy()

    def write(self, index: NDArray[np.int64], floats: NDArray[np.float32], integers: NDArray[np.int64]) -> None:
        """Overwrite rows `index` (B,), each at most once, from host memory."""
        for table, rows in ((self.rows.floats, floats), (self.rows.integers, integers)):
            if table.device.type == "cpu":
                table.numpy()[index] = rows
            else:
                table.index_copy_(0, self.index(index), torch.tensor(rows, device=table.device))

    def view(self, floats: NDArray[np.float32], integers: NDArray[np.int64]) -> Rows:
        """Rows in host memory by name."""
        return Rows(torch.from_numpy(floats), torch.from_numpy(integers), self.layout.columns)

    def index(self, index: NDArray[np.int64]) -> Tensor:
        """Row numbers where the rows are."""
        return torch.from_numpy(index).to(self.rows.floats.device)

    def reset(self, rows: Rows, at: Tensor) -> None:
        """Initialise the gathered rows `at` (m,) int64 in place."""
        rows.floats.index_copy_(0, at, self.fresh.floats.expand(len(at), -1))
        rows.integers.index_copy_(0, at, self.fresh.integers.expand(len(at), -1))

"""Copies of the device's rows on their way to the host, which no step waits for. Knows no streams' names."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from streamrnn.engine.rows.slab import Rows

Numbers = tuple[NDArray[np.float32], NDArray[np.int64]]


class SideStream:
    """A CUDA stream that copies while others step; where there is no CUDA, rows are on the host already."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda_stream: Any = None
        if device.type == "cuda":
            self._cuda_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def copy(self, rows: Rows) -> Callable[[], Numbers]:
        """Begin to copy gathered rows, which nobody may write then; call the answer on any thread to have them."""
        if self._cuda_stream is None:
            copied = rows.floats.numpy(), rows.integers.numpy()
            return lambda: copied
        self._cuda_stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._cuda_stream):
            floats, integers = self._pinned(rows.floats), self._pinned(rows.integers)
            done = self._cuda_stream.record_event()

        def wait() -> Numbers:
            done.synchronize()
            return floats.numpy(), integers.numpy()

        return wait

    def _pinned(self, there: torch.Tensor) -> torch.Tensor:
        here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
        here.copy_(there, non_blocking=True)
        there.record_stream(self._cuda_stream)  # its memory is not given to others before the copy is done
        return here

"""What an executor yields for a batch, in arrival order. Owns no device."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Outcome(NamedTuple):
    """said (n, K, O, Q) raw units; forecast and persistence (n, K', O), NaN where nothing waited for this
    tick or it was refused; steps (n,) the stream's ticks so far; status (n,) codes of STATUS, all but ok leave the
    stream's state as it was."""

    said: NDArray[np.float32]
    forecast: NDArray[np.float32]
    persistence: NDArray[np.float32]
    steps: NDArray[np.int64]
    status: NDArray[np.uint8]

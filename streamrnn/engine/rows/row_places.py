"""What a place is: where a stream's row lies, as one number. Owns its special values.

A place is a slot of the device, or, below 0, ~slot of the host's memory.
"""

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
ABSENT = -(2**31)
"""The place of a stream that has none."""
LIFE = 2**30
"""Places from here on are of rows that a batch has yet to claim (see placing.py)."""
UNKNOWN = -1
"""The number of a key that has none."""

"""float32 to the numbers that are written: short, and the same float32 when read back. Knows no format."""

import numpy as np
from numpy.typing import NDArray

DIGITS = (9, 7)
"""9 significant digits name every float32; 7 suffice for what had 6 before it became one: try both."""
POWERS = 10.0 ** np.arange(23)
"""Powers of ten that float64 holds exactly: a whole number divided by one is rounded once."""


def shortened(numbers: NDArray[np.floating]) -> NDArray[np.float64]:
    """Close numbers of few digits that cast back to the same bits; a number without such stays as it is."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        exact = numbers.astype(np.float64)
    short = exact.copy()
    with np.errstate(all="ignore"):  # zero, NaN and infinity have no magnitude, and stay
        magnitude = np.floor(np.log10(np.abs(numbers)))
        for digits in DIGITS:
            places = digits - 1 - magnitude
            power = POWERS[np.minimum(np.maximum(places.astype(np.int32), 0), len(POWERS) - 1)]
            rounded = np.rint(exact * power) / power
            good = (places >= 0) & (rounded.astype(np.float32) == numbers) & (rounded != 0)
            np.copyto(short, rounded, where=good)
    return short

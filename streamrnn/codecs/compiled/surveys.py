"""One look over whole columns: whether there is anything in them to look at more closely.

A small batch costs what its calls cost, and a call of these costs a fourth of a numpy reduction.

Shapes: n rows, F features.
"""

from typing import Any

import numpy as np

from streamrnn.process.compiling import borrowing


@borrowing
def are_finite(values: Any) -> bool:
    """Whether all of values (n, F) are."""
    flat = values.reshape(values.size)  # one loop, which becomes vector instructions
    found = True
    for at in range(len(flat)):
        found &= abs(flat[at]) < np.inf
    return found


@borrowing
def narrow(wide: Any, into: Any) -> None:
    """Write into (n, F) float32 or float64 the numbers of wide (n, F or more) as `in_precision` gives them."""
    for row in range(into.shape[0]):
        for feature in range(into.shape[1]):
            number = wide[row, feature]
            short = np.float32(number)
            into[row, feature] = short if np.isinf(short) else number


@borrowing
def spread(numbers: Any) -> tuple[Any, Any, Any]:
    """Of n >= 1 int64: the least, the greatest, and of their sizes the least; that is 0 for one of 2^63."""
    least = most = numbers[0]
    smallest: Any = np.int64(2**63 - 1)
    for row in range(len(numbers)):
        number = numbers[row]
        least, most = min(least, number), max(most, number)
        smallest = min(smallest, max(0, abs(number)))
    return least, most, smallest


@borrowing
def total(sizes: Any) -> int:
    """The sum of n int64."""
    found = 0
    for row in range(len(sizes)):
        found += sizes[row]
    return found


@borrowing
def are_near(times: Any, others: Any, most: int) -> bool:
    """Whether each of n int64 is at most so far from the other's; sums wrap as numpy's do."""
    found = True
    for row in range(len(times)):
        ahead = times[row] - others[row]
        found &= -most <= ahead <= most
    return found

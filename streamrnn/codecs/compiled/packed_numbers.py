"""Numbers of a fixed width out of a buffer. Shapes: n strings."""

from typing import Any

from streamrnn.process.compiling import borrowing, copy_bytes


@borrowing
def copy_packed(data: Any, starts: Any, sizes: Any, width: int, into: Any) -> int:
    """Copy each string of `width` bytes into its place of into (n * width,); how many are of another size, whose
    places are zeros."""
    odd = 0
    for row in range(len(starts)):
        if sizes[row] == width:
            copy_bytes(into, row * width, data, starts[row], width)
        else:
            odd += 1
            into[row * width : (row + 1) * width] = 0
    return odd

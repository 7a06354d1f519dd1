"""Matrix product whose every output is one fixed chain of fused multiply-adds.

Output (r, j) is fma(a[r, K-1], w[K-1, j], ... fma(a[r, 0], w[0, j], init[j])): the order depends on neither
the number of rows nor the row's place, so neighbours cannot change a bit (law 2). The width of the vectors and
the rows of a tile depend on the processor; the chain of an output does not. Written as LLVM vectors because the
compiler's own choice of what to fuse and in which order is what must not vary.
Weights are packed in panels: (N, K) becomes (N / 16, K, 16), N rounded up to 16 with zeros.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from streamrnn.process.compiling import called

PANEL = 16
"""Columns of a panel: two AVX2 vectors, one of AVX-512, four of NEON."""
_IS_WIDE = binding.get_host_cpu_features().get("avx512f", False)
_LANES = PANEL if _IS_WIDE else PANEL // 2
_VECTORS = PANEL // _LANES
ROWS = 8 // _VECTORS
"""Rows of the main tile: 8 accumulators hide the latency of two multiply-adds a cycle. Measured (Zen 4, 1,024 x 64
@ 64 x 192): 8 rows of 16 lanes 218 us, 4 x 2 of 8 lanes 262, 8 x 2 of 8 lanes 255, 16 x 1 of 16 lanes 231."""
_I64, _F32 = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_F32, _LANES)


def padded(width: int) -> int:
    """Width rounded up to whole panels."""
    return -(-width // PANEL) * PANEL


def pack(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, K) with N a multiple of 16 to panels (N / 16, K, 16)."""
    n, k = weight.shape
    return np.ascontiguousarray(weight.reshape(n // PANEL, PANEL, k).transpose(0, 2, 1))


def _vector_at(builder: Any, base: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(base, [offset]), _VECTOR.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z of float32, rounded once: said outright, as the compiler may fuse here and not there."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function_type = ir.FunctionType(_F32, [_F32] * 3)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, function_type, "llvm.fma.f32"), arguments
        )

    return types.float32(*[types.float32] * 3), emit


def _spread(builder: Any, number: Any) -> Any:
    """One float in every lane."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES))


def _places(builder: Any, base: Any, stride: Any, rows: int) -> list[Any]:
    """Where the vectors of `rows` rows of a panel begin."""
    return [
        _vector_at(builder, base, builder.add(builder.mul(stride, _I64(r)), _I64(v * _LANES)))
        for r in range(rows)
        for v in range(_VECTORS)
    ]


def _tile(rows: int) -> Any:
    """An intrinsic: c[rows, 16] = init[rows, 16] + a[rows, k] @ panel[k, 16]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_by, k, panel, init, init_by, c, c_by = arguments
        a, panel, init, c = (builder.inttoptr(address, _F32.as_pointer()) for address in (a, panel, init, c))
        function_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        multiply_add = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.fma.v{_LANES}f32")
        before = [builder.load(place, align=4) for place in _places(builder, init, init_by, rows)]
        row_starts = [builder.mul(a_by, _I64(r)) for r in range(rows)]
        entry, body = builder.block, builder.append_basic_block("tile.k")
        done = builder.append_basic_block("tile.done")
        builder.cbranch(builder.icmp_signed(">", k, _I64(0)), body, done)

        builder.position_at_end(body)
        step = builder.phi(_I64)
        sums = [builder.phi(_VECTOR) for _ in before]
        line = builder.mul(step, _I64(PANEL))
        weights = [
            builder.load(_vector_at(builder, panel, builder.add(line, _I64(v * _LANES))), align=4)
            for v in range(_VECTORS)
        ]
        moved = []
        for r in range(rows):
            number = _spread(builder, builder.load(builder.gep(a, [builder.add(row_starts[r], step)])))
            moved += [
                builder.call(multiply_add, [number, weights[v], sums[r * _VECTORS + v]]) for v in range(_VECTORS)
            ]
        following = builder.add(step, _I64(1))
        for phi, start, new in zip([step, *sums], [_I64(0), *before], [following, *moved], strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(new, body)
        builder.cbranch(builder.icmp_signed("<", following, k), body, done)

        builder.position_at_end(done)
        totals = [builder.phi(_VECTOR) for _ in before]
        for place, total, start, new in zip(_places(builder, c, c_by, rows), totals, before, moved, strict=True):
            total.add_incoming(start, entry)
            total.add_incoming(new, body)
            builder.store(total, place, align=4)
        return context.get_dummy_value()

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(
        typing_context: Any, a: Any, by: Any, k: Any, panel: Any, init: Any, init_by: Any, c: Any, c_by: Any
    ) -> Any:
        return types.void(*[types.intp] * 8), emit

    return tile


_main_tile, _single_row = _tile(ROWS), _tile(1)
"""Arguments are addresses, and steps from row to row in floats; a step of 0 makes `init` one row for all."""


@called
def set_product(a: Any, rows: int, k: int, weights: Any, bias: Any, c: Any, first: int, width: int) -> None:
    """c[:rows, first : first + width] = bias[:width] + a[:rows, :k] @ W, W packed in `weights` (flat)."""
    _product(a, rows, k, weights, bias.ctypes.data, 0, c, first, width)


@called
def add_product(a: Any, rows: int, k: int, weights: Any, c: Any, first: int, width: int) -> None:
    """c[:rows, first : first + width] += a[:rows, :k] @ W, W packed in `weights` (flat, width / 16 panels)."""
    _product(a, rows, k, weights, c.ctypes.data + first * 4, c.shape[1], c, first, width)


@called
def _product(
    a: Any, rows: int, k: int, weights: Any, init_at: int, init_by: int, c: Any, first: int, width: int
) -> None:
    a_at, w_at, c_at = a.ctypes.data, weights.ctypes.data, c.ctypes.data + first * 4
    a_by, c_by = a.shape[1], c.shape[1]
    whole = rows - rows % ROWS
    for panel in range(width // PANEL):
        w, begin, out = w_at + panel * k * PANEL * 4, init_at + panel * PANEL * 4, c_at + panel * PANEL * 4
        for r in range(0, whole, ROWS):
            row, init, place = a_at + r * a_by * 4, begin + r * init_by * 4, out + r * c_by * 4
            _main_tile(row, a_by, k, w, init, init_by, place, c_by)
        for r in range(whole, rows):
            row, init, place = a_at + r * a_by * 4, begin + r * init_by * 4, out + r * c_by * 4
            _single_row(row, a_by, k, w, init, init_by, place, c_by)

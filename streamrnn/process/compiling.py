"""How loops over bytes are compiled: once on a machine where a cache can be written."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

log = logging.getLogger(__name__)
Loop = TypeVar("Loop", bound=Callable[..., Any])
LINE = 64
"""Bytes that come into the cache together."""
_I64 = ir.IntType(64)
_CALLED = {"nogil": True, "error_model": "numpy", "_nrt": False}


def compiled(loop: Loop, *, is_borrowing: bool = False) -> Loop:
    """The function compiled on its first call, holding no interpreter lock; what it calls is compiled into it.

    is_borrowing: it makes no array, and need not count who holds those that it is given: often twice as fast.

    The cache knows a change of the function's own file alone. A loop that calls those of another file is
    `compiled_with` that file.
    """
    options = {"nogil": True, "error_model": "numpy", "_nrt": not is_borrowing}
    try:
        made: Loop = njit(cache=True, **options)(loop)
    except RuntimeError as error:
        log.info("%s is compiled at each start (see NUMBA_CACHE_DIR): %s", loop.__qualname__, error)
        made = njit(**options)(loop)
    return made


def borrowing(loop: Loop) -> Loop:
    """As `compiled`, with is_borrowing."""
    return compiled(loop, is_borrowing=True)


def called(loop: Loop) -> Loop:
    """A borrowing function that compiled loops call: it is compiled into each of them, and kept with them."""
    made: Loop = njit(**_CALLED)(loop)
    return made


def spliced(loop: Loop) -> Loop:
    """As `called`, put in place of the call before types are known: where the rest of the caller is then faster."""
    made: Loop = njit(inline="always", **_CALLED)(loop)
    return made


def compiled_with(*modules: ModuleType, is_borrowing: bool = False) -> Callable[[Loop], Loop]:
    """As `compiled`, for a function that calls loops of these modules: all of them, also those behind the first.

    The cache finds what is compiled by the function's name, so the name says what the modules hold.
    """
    files = (__file__, *(str(module.__file__) for module in modules))
    sources = b"".join(Path(file).read_bytes() for file in files)
    digest = hashlib.sha256(sources).hexdigest()[:16]

    def named(loop: Loop) -> Loop:
        loop.__qualname__ += f"_{digest}"
        return compiled(loop, is_borrowing=is_borrowing)

    return named


@intrinsic  # type: ignore[untyped-decorator]
def copy_bytes(typing_context: Any, into: Any, at: Any, data: Any, start: Any, size: Any) -> Any:
    """into[at : at + size] = data[start : start + size] of uint8 arrays, unchecked: 2 ns where a loop takes 20."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        places = ((signature.args[n], arguments[n], arguments[n + 1]) for n in (0, 2))
        to, source = (
            builder.gep(context.make_array(kind)(context, builder, array).data, [offset])
            for kind, array, offset in places
        )
        cgutils.raw_memcpy(builder, to, source, arguments[4], 1)
        return context.get_dummy_value()

    return types.void(into, types.int64, data, types.int64, types.int64), emit


@intrinsic  # type: ignore[untyped-decorator]
def as_double(typing_context: Any, bits: Any) -> Any:
    """The float64 of 64 bits, a uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def as_single(typing_context: Any, bits: Any) -> Any:
    """The float32 of 32 bits, a uint32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), emit


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, address: Any) -> Any:
    """Have the line at an address be on its way into the cache."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [builder.inttoptr(given[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


def words_of(given: Any) -> list[int]:
    """A tuple of integers, arrays and such tuples as words: an array is its address and its shape.

    Each array handed to compiled code takes it .3 us to read; the words are made once. Somebody keeps the arrays.
    """
    if isinstance(given, np.ndarray):
        assert given.flags.carray, "compiled code takes an array for contiguous that is not"
        return [given.ctypes.data, *given.shape]
    return [word for part in given for word in words_of(part)] if isinstance(given, tuple) else [int(given)]


def tuple_at(kind: type[NamedTuple]) -> Any:
    """A function for compiled loops: the tuple that `words_of` has put into an array of words.

    The fields of its class are int, such classes, and arrays whose dimensions are told: Annotated[NDArray[..], 2].
    """
    made_of = _kind_of(kind)

    @intrinsic  # type: ignore[untyped-decorator]
    def made(typing_context: Any, words: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base = context.make_array(words)(context, builder, arguments[0]).data
            places = (builder.gep(base, [_I64(n)]) for n in count())
            return _emit_made(context, builder, made_of, map(builder.load, places))

        return made_of(words), emit

    return made


def _kind_of(hint: Any) -> Any:
    """The compiler's type of a field."""
    if hint is int:
        return types.int64
    if get_origin(hint) is Annotated:
        array, dimensions = get_args(hint)
        (number,) = get_args(get_args(array)[1])
        return types.Array(from_dtype(np.dtype(number)), dimensions, "C")
    fields = [_kind_of(field) for field in get_type_hints(hint, include_extras=True).values()]
    if set(fields) == {fields[0]}:
        return types.NamedUniTuple(fields[0], len(fields), hint)
    return types.NamedTuple(fields, hint)


def _emit_made(context: Any, builder: Any, kind: Any, words: Iterator[Any]) -> Any:
    """A value of a type from the next words."""
    if isinstance(kind, types.BaseTuple):
        return context.make_tuple(builder, kind, [_emit_made(context, builder, part, words) for part in kind.types])
    if not isinstance(kind, types.Array):
        return next(words)
    array = context.make_array(kind)(context, builder)
    data, shape = next(words), [next(words) for _ in range(kind.ndim)]
    strides = [_I64(kind.dtype.bitwidth // 8)]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(array, builder.inttoptr(data, array.data.type), shape, strides, strides[-1], meminfo=None)
    return array._getvalue()

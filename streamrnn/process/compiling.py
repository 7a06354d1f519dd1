"""How loops over bytes are compiled: once on a machine where a cache can be written."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

log = logging.getLogger(__name__)
Loop = TypeVar("Loop", bound=Callable[..., Any])
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

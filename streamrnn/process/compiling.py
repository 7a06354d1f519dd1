"""How loops over bytes are compiled: once on a machine where a cache can be written."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

log = logging.getLogger(__name__)
Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """The function compiled on its first call, holding no interpreter lock; what it calls is compiled into it.

    The cache knows a change of the function's own file alone. So a loop and all that it calls lie in one file.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        made: Loop = njit(cache=True, **options)(loop)
    except RuntimeError as error:
        log.info("%s is compiled at each start (see NUMBA_CACHE_DIR): %s", loop.__qualname__, error)
        made = njit(**options)(loop)
    return made

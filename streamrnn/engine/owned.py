"""Who may call what only one thread may call. Owns the check; starts no thread."""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from streamrnn.errors import EngineError

P = ParamSpec("P")
T = TypeVar("T")
O = TypeVar("O", bound="Owned")  # noqa: E741


class Owned:
    """A thing that any thread may call until one thread owns it; from then on, that thread alone."""

    owner: int | None = None
    """`threading.get_ident()` of the owning thread."""


def by_owner(method: Callable[Concatenate[O, P], T]) -> Callable[Concatenate[O, P], T]:
    """A method that raises EngineError when another thread than the owner calls it."""

    @wraps(method)
    def checked(self: O, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self.owner is not None and self.owner != threading.get_ident():
            called = f"{type(self).__name__}.{method.__name__}"
            raise EngineError(f"{called} is called by thread {threading.current_thread().name}, not by its owner")
        return method(self, *args, **kwargs)

    return checked

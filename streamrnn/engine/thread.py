"""The one thread on which an engine is called. Owns the order of the calls; knows nothing of what they do.

Calls run one at a time, in the order in which `call`, `call_here` and `post` were called. So whoever posts
`engine.settle` at a commit and then calls `engine.step`, `engine.undo` or `engine.relieve` has them in that order,
without waiting.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from streamrnn.engine.engine import Engine

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


class EngineThread:
    """A thread that owns one engine: from its start on, the engine refuses calls by any other thread.

    Nobody waits for what is posted. So the first posted call that fails is the last that runs: its error is raised
    by every call and every `raise_failure` after it, and logged where none follows.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._executor = ThreadPoolExecutor(1, "engine")
        self._under_way: set[Future[Any]] = set()
        self._failure: BaseException | None = None
        self._is_told = False
        engine.owner = self._executor.submit(threading.get_ident).result()

    def call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Queue a call at once; its result is to be awaited.

        Cancelling what is returned keeps the call from running if it has not begun. A call that has begun runs to
        its end.
        """

        def answer() -> T:
            self.raise_failure()
            return call(*args, **kwargs)

        return asyncio.wrap_future(self._submit(answer))

    @property
    def is_idle(self) -> bool:
        """Whether no call runs or waits; true until the next one, for whoever makes all calls."""
        return not self._under_way

    def call_here(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        """Run a call at once on the calling thread, to which the idle engine is lent for it; what it gives is done.

        Only the thread that makes all calls may do so: another's could begin meanwhile.
        """
        assert self.is_idle, "calls run one at a time"
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        owner, self.engine.owner = self.engine.owner, threading.get_ident()
        try:
            self.raise_failure()
            answer.set_result(call(*args, **kwargs))
        except Exception as error:
            answer.set_exception(error)
        finally:
            self.engine.owner = owner
        return answer

    def post(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Queue a call whose result nobody needs."""

        def run() -> None:
            if self._failure is None:
                try:
                    call(*args, **kwargs)
                except BaseException as error:
                    self._failure = error

        self._submit(run)

    def _submit(self, run: Callable[[], T]) -> "Future[T]":
        queued = self._executor.submit(run)
        # In this order: one that has ended meanwhile is taken out again at once.
        self._under_way.add(queued)
        queued.add_done_callback(self._under_way.discard)
        return queued

    def raise_failure(self) -> None:
        """Raise what a posted call has raised; for who makes no call for long."""
        if self._failure is not None:
            self._is_told = True
            raise self._failure

    def close(self, *, wait: bool = False) -> None:
        """Run no call that has not begun, and wait for the one that has, if told to.

        A call that hangs in a device would never end; whoever must end does not wait.
        """
        self._executor.shutdown(wait=wait, cancel_futures=True)
        if self._failure is not None and not self._is_told:
            log.error("a call of the engine that nobody waited for has failed", exc_info=self._failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(wait=True)

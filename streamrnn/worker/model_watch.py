"""Which models are wanted: looks at the registry's pointers again and again, and tells when they change.

Owns when the registry is asked, and what is known while it is away: the last answer. Loads no model.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from streamrnn.config import Settings
from streamrnn.errors import BundleError
from streamrnn.metrics import Metrics
from streamrnn.process.aside import start_aside
from streamrnn.registry import Registry, Wanted

log = logging.getLogger(__name__)
MOST_LEFT_BEHIND = 4
"""Threads that may hang with their store at the same time; where so many do, none is begun until one ends."""


class ModelWatch:
    """Follows champion and challenger of the model that the settings name.

    A fixed `model.version` or `model.path` is not followed, and a fixed `model.challenger` is not looked for.
    """

    def __init__(self, settings: Settings, registry: Registry | None, metrics: Metrics) -> None:
        """registry: the one that the settings name; None where `model.path` serves."""
        self._model, self._registry, self._metrics = settings.model, registry, metrics
        self._patience_s = settings.limits.recovery_stall_s
        self._asked = asyncio.Event()
        self._left_behind: set[threading.Thread] = set()
        self._is_away = False
        self.last: Wanted | None = None
        """What was wanted when the registry last answered."""

    def ask(self) -> None:
        """Look now, whatever the pause has left to last; of the event loop's thread alone."""
        self._asked.set()

    @property
    def is_away(self) -> bool:
        """Whether the last look failed: what is wanted may have changed since."""
        return self._is_away

    @property
    def is_followed(self) -> bool:
        """Whether the registry says what is wanted, rather than the settings."""
        return self._model.path is None and self._model.version is None

    async def run(self, wanted: Callable[[Wanted], None]) -> None:
        """Call `wanted` with what is wanted, first and whenever it is something else, for ever."""
        while True:
            self._asked.clear()
            found = await self._look()
            if found is not None and found != self.last:
                self.last = found
                wanted(found)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._model.poll_s if self.is_followed else None):
                    await self._asked.wait()

    async def _look(self) -> Wanted | None:
        """What is wanted now; None where nobody says."""
        if self._model.path is not None:
            return None
        if self._model.version is not None:
            return Wanted.of(self._model.version, self._model.challenger)
        try:
            found = await self._ask_registry()
        except BundleError as error:
            self._note_away(str(error))
            return None
        self._note_back()
        return found

    async def _ask_registry(self) -> Wanted:
        """Ask on a thread of its own, that is left behind where the store hangs."""
        self._left_behind = {thread for thread in self._left_behind if thread.is_alive()}
        if len(self._left_behind) >= MOST_LEFT_BEHIND:
            raise BundleError(f"{MOST_LEFT_BEHIND} looks hang: the registry does not answer")
        thread, answer = start_aside(self._wanted, "model watch")
        try:
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError as error:
            self._left_behind.add(thread)
            raise BundleError(f"no answer of the registry in {self._patience_s:g} s") from error

    def _wanted(self) -> Wanted:
        assert self._registry is not None, "named by the settings"
        assert self._model.name, "named by the settings"
        if self._model.challenger is None:
            return self._registry.wanted(self._model.name)
        return Wanted.of(self._registry.champion(self._model.name), self._model.challenger)

    def _note_away(self, why: str) -> None:
        self._metrics.registry_failed()
        if not self._is_away:
            log.warning("the registry cannot be asked for a new model, what runs goes on: %s", why)
        self._is_away = True

    def _note_back(self) -> None:
        if self._is_away:
            log.info("the registry answers again")
        self._is_away = False

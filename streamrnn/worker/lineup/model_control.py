"""Has a worker follow the registry: who is wanted, who is made, what is said of it all. The parts' one face.

Also what HTTP shows of the models, and where it asks for a look at the registry.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

import msgspec

from streamrnn.config import Settings
from streamrnn.metrics import Metrics
from streamrnn.registry import Registry
from streamrnn.worker.lineup.hiring import Hiring
from streamrnn.worker.lineup.lineup import Lineup
from streamrnn.worker.lineup.reporting import Reporting
from streamrnn.worker.lineup.succession import Succession
from streamrnn.worker.model_watch import ModelWatch
from streamrnn.worker.source import TickSource


class ModelControl:
    """The models of one worker."""

    def __init__(
        self,
        settings: Settings,
        source: TickSource,
        lineup: Lineup,
        metrics: Metrics,
        thread_name: str,
        failed: Callable[["asyncio.Task[None]"], object],
    ) -> None:
        """thread_name: of the thread that loads. failed: called with a task of ours that has ended."""
        given = settings.model
        registry = Registry(given.registry) if given.path is None and given.registry else None
        self._lineup, self._failed = lineup, failed
        self._watch = ModelWatch(settings, registry, metrics)
        self._succession: Succession | None = None
        if registry is not None and given.name is not None:
            name = given.name
            hiring = Hiring(
                settings, source, lineup, metrics, lambda version: registry.load(name, version), thread_name
            )
            self._succession = Succession(lineup, name, hiring.hire, hiring.judge, metrics, given.rollback_window_s)
            lineup.summon = self._succession.summon
        self._reporting = Reporting(settings, lineup, self._refused, metrics, _worker_name(), registry)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch, arrange and report."""
        running = {"reports": self._reporting.run()}
        if self._succession is not None:
            running["model watch"] = self._watch.run(self._succession.want)
            running["succession"] = self._succession.run()
        self._tasks = [asyncio.create_task(each, name=name) for name, each in running.items()]
        for task in self._tasks:
            task.add_done_callback(self._failed)

    async def stop(self) -> None:
        """End all three."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _refused(self) -> dict[str, str]:
        return {} if self._succession is None else self._succession.refused

    # What HTTP asks

    async def ask(self) -> None:
        """Look at the registry at once, and try again what was refused."""
        if self._succession is not None:
            self._succession.try_again()
        self._watch.ask()

    async def state(self) -> dict[str, Any]:
        """The report of this worker, in JSON's types, and whether the registry answers."""
        report: dict[str, Any] = msgspec.to_builtins(await self._reporting.report())
        return report | {"is_registry_away": self._watch.is_away}


def _worker_name() -> str:
    """A name for this process that no other has: of the host, the process and chance."""
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname())[:100]
    return f"{host.lstrip('-.') or 'worker'}-{os.getpid()}-{secrets.token_hex(3)}"

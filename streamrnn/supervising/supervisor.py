"""The supervisor put together: workers, their overview, the daemon's HTTP and its retrain jobs, until a signal."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from streamrnn.config import Settings, environment_of
from streamrnn.errors import ConfigError, StreamrnnError
from streamrnn.http.retrain import retrain_routes
from streamrnn.http.server import HttpServer
from streamrnn.http.workers import supervised_routes
from streamrnn.metrics import WorkerCounts
from streamrnn.process.interpreter import new_event_loop
from streamrnn.process.logs import configure_logging
from streamrnn.process.seats import Seat
from streamrnn.process.signals import stop_signals
from streamrnn.process.stopping import LONGEST_JOIN_S, leave, unless
from streamrnn.registry import Registry, check_named
from streamrnn.retrainer import Retrainer
from streamrnn.supervising.cores import cores, threads_for
from streamrnn.supervising.crew import Crew
from streamrnn.supervising.launching import WorkerProcess, launch, settings_of
from streamrnn.supervising.overview import Overview
from streamrnn.supervising.socket_folder import SocketFolder

log = logging.getLogger(__name__)
CHOOSING = "choosing"
"""Name of the thread that reads the champion. Nobody waits for it at the end."""


class Supervisor:
    """A daemon of several workers, and what it shows; `folder` is for their sockets."""

    def __init__(self, settings: Settings, workers: int, folder: Path) -> None:
        check_named(settings.model)
        self._settings, self._workers = settings, workers
        self._counts = WorkerCounts(range(workers))
        self._seats = [Seat(number, folder) for number in range(workers)]
        # A worker has the whole budget, and a moment for threads that hang.
        longest_s = settings.limits.shutdown_budget_s + LONGEST_JOIN_S
        self.crew = Crew(self._seats, self._launch, longest_s, self._counts)
        self._retrainer = Retrainer(settings, self._counts)

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop` is set, or until a worker's end is the end of all; the exit code."""
        http = self._make_http()
        ending = asyncio.create_task(self._retrainer.close_when(stop), name="retrainer")
        try:
            if self._settings.http.enabled:
                await http.start()
                log.info("http on %s:%d", self._settings.http.host, http.port)
            await unless(stop, self._look_for_champion())
            return await self.crew.run(stop)
        finally:
            ending.cancel()
            await self._retrainer.close()
            await http.stop()

    def _make_http(self) -> HttpServer:
        http, token = self._settings.http, self._settings.retrain.token
        view = Overview(self._seats, self.crew, self._counts, self._settings.delivery.guarantee)
        retrain = retrain_routes(self._retrainer, None if token is None else token.get_secret_value())
        return HttpServer(http.host, http.port, supervised_routes(view) + retrain)

    async def _look_for_champion(self) -> None:
        """BundleError at once where there is none; which one serves is what each worker follows itself."""
        model = self._settings.model
        if model.path is not None or model.version is not None:
            return
        assert model.registry, "checked"
        assert model.name, "checked"
        thread = ThreadPoolExecutor(1, CHOOSING)  # a store that hangs must not hold up the end
        try:
            champion = partial(_champion, model.registry, model.name)
            await asyncio.get_running_loop().run_in_executor(thread, champion)
        finally:
            thread.shutdown(wait=False)

    async def _launch(self, seat: Seat) -> WorkerProcess:
        """A worker is told all but how to retrain, which the supervisor does for all."""
        own = environment_of(settings_of(seat.number, self._settings), without=("retrain", "process"))
        return await launch(seat, threads_for(self._workers, cores(), own) | own)


def _champion(registry: str, name: str) -> int:
    return Registry(registry).champion(name)


async def _supervise_until_signalled(settings: Settings, workers: int, folder: Path) -> int:
    supervisor, stop = Supervisor(settings, workers, folder), asyncio.Event()
    with stop_signals(stop, at_once=supervisor.crew.kill):
        return await supervisor.run(stop)


def _private_folder() -> SocketFolder:
    try:
        return SocketFolder()
    except OSError as error:
        raise ConfigError(f"process.workers: no folder for the workers' sockets: {error}") from error


def supervise(settings: Settings, workers: int) -> int:
    """`streamrnn serve` with several workers: 0 after an orderly stop, else the first exit code that is not."""
    configure_logging(settings)
    try:
        with _private_folder() as folder, asyncio.Runner(loop_factory=new_event_loop) as runner:
            code = runner.run(_supervise_until_signalled(settings, workers, folder))
    except StreamrnnError as error:
        log.error("%s", error)
        return leave(error.exit_code, CHOOSING)
    log.info("stopped")
    return leave(code, CHOOSING)

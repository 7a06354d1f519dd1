"""Composition root and lifecycle: build, start, run, stop within a budget. Owns no logic of its own.

HTTP listens after half a second of the processor's time. torch, numba and aiokafka take two seconds more, so what
imports them is imported by the functions that need it, and they run after that.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from streamrnn.config import Settings
from streamrnn.errors import BrokerUnavailable, NotInTime, StreamrnnError
from streamrnn.http.model_routes import model_routes
from streamrnn.http.probes import probe_routes
from streamrnn.http.retrain import retrain_routes
from streamrnn.http.server import HttpServer
from streamrnn.metrics import Metrics
from streamrnn.process.children import InputEnd
from streamrnn.process.interpreter import new_event_loop, tuned_interpreter
from streamrnn.process.logs import configure_logging
from streamrnn.process.seats import CompileTurn, Seat
from streamrnn.process.signals import stop_signals
from streamrnn.process.stopping import LONGEST_JOIN_S, leave, unless
from streamrnn.registry import check_named, load_model
from streamrnn.retrainer import Retrainer
from streamrnn.worker.inspection import Inspection

if TYPE_CHECKING:
    from streamrnn.engine.engine import Engine
    from streamrnn.kafka.reading.member import Source
    from streamrnn.kafka.writing.delivery import Delivery
    from streamrnn.nn.model import Model
    from streamrnn.worker.line import Line
    from streamrnn.worker.lineup.model_control import ModelControl
    from streamrnn.worker.loop import Worker

log = logging.getLogger(__name__)
LONGEST_CLOSING_S = 8.0
LOADING = "loading"
"""Name of the thread that loads. Nobody waits for it: a stop while the model is loaded ends the process at once."""


class Service:
    """One worker with its engine, broker connections and HTTP server; also what the probes see."""

    def __init__(
        self,
        settings: Settings,
        model: "Model | None" = None,
        metrics: Metrics | None = None,
        seat: Seat | None = None,
    ) -> None:
        if model is None:
            check_named(settings.model)
        self.settings, self._model, self._seat = settings, model, seat
        self._line: Line | None = None
        self.metrics = metrics or Metrics()
        self._retrainer = Retrainer(settings, self.metrics)
        self.worker: Worker | None = None
        self._models: ModelControl | None = None
        self._inspection = Inspection(settings.input.key)
        self._started_s = time.monotonic()
        self._waiting_for = "loading the model"
        self.url = ""

    @property
    def engine(self) -> "Engine":
        """The engine, once it is loaded."""
        return self._loaded.engine if self.worker is None else self.worker.lineup.main().line.engine

    @property
    def _loaded(self) -> "Line":
        assert self._line is not None, "not loaded yet"
        return self._line

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish, publish, commit, leave, within `limits.shutdown_budget_s`.

        HTTP answers first; then the model is loaded.
        """
        http = self._make_http()
        ending = asyncio.create_task(self._retrainer.close_when(stop), name="retrainer")
        try:
            if self.settings.http.enabled:
                await self._listen(http)
            if await unless(stop, self.load()):
                # What is loaded is left alone by the garbage collector, whose settings come after it therefore.
                with tuned_interpreter():
                    await self._serve(stop)
        finally:
            ending.cancel()
            await self._retrainer.close()
            if self.settings.http.enabled:
                await http.stop()
            if self._line is not None:
                self._line.thread.close()

    async def _listen(self, http: HttpServer) -> None:
        await http.start()
        if self._seat is None:
            self.url = f"http://{self.settings.http.host}:{http.port}"
            log.info("http on %s", self.url.removeprefix("http://"))

    async def load(self) -> None:
        """Load the model and compile its step, if that is not done, while the event loop goes on.

        Given up, it runs on to its end on its thread: whoever ends the process then does not wait for it.
        """
        if self._line is not None:
            return
        thread, loop = ThreadPoolExecutor(1, LOADING), asyncio.get_running_loop()
        try:
            model = self._model
            if model is None:
                model = await loop.run_in_executor(thread, load_model, self.settings.model)
            turn = CompileTurn() if self._seat is None else self._seat.turn
            if not turn.is_come:
                self._waiting_for = "another worker compiles the step"
                await turn.come()
            self._waiting_for = "compiling the step"
            self._line = await loop.run_in_executor(thread, _make_line, model, self.settings, self.metrics)
            turn.pass_on()
        finally:
            thread.shutdown(wait=False)
        threads = [self._line.thread]
        self._inspection = Inspection(self.settings.input.key, lambda: threads)
        self.metrics.model(self.engine.spec, str(self.engine.device))
        self._waiting_for = "waiting for the broker"

    def _make_http(self) -> HttpServer:
        http, token = self.settings.http, self.settings.retrain.token
        retrain = retrain_routes(self._retrainer, None if token is None else token.get_secret_value())
        asking = self.settings.model.token
        models = model_routes(self, None if asking is None else asking.get_secret_value())
        routes = probe_routes(self, self.metrics.application()) + models + retrain
        path = None if self._seat is None else self._seat.socket
        return HttpServer(http.host, http.port, routes, path=path)

    async def _serve(self, stop: asyncio.Event) -> None:
        from streamrnn.kafka.reading.member import Source  # aiokafka
        from streamrnn.worker.assembly import make_delivery, make_worker  # torch

        source = Source(self.settings)
        delivery = make_delivery(self.settings, source)
        try:
            if await self._until_joined(source, delivery, stop):
                self.worker = make_worker(self.settings, source, delivery, self._loaded, self.metrics)
                await self._drive(self.worker, source, stop)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._closing_s):
                    await asyncio.gather(source.stop(), delivery.stop())

    @property
    def _closing_s(self) -> float:
        """The part of the shutdown budget that is kept for leaving the group and closing connections."""
        return min(LONGEST_CLOSING_S, self.settings.limits.shutdown_budget_s / 2)

    async def _until_joined(self, source: "Source", delivery: "Delivery", stop: asyncio.Event) -> bool:
        """Check the topics and join the group as soon as there is a broker; False when told to stop first."""
        pause_s = 0.5
        while not stop.is_set():
            try:
                return await unless(stop, self._join(source, delivery))
            except BrokerUnavailable as error:
                self.metrics.broker_up(False)
                self._waiting_for = f"waiting for the broker: {error}"
                log.warning(self._waiting_for)
                await unless(stop, asyncio.sleep(pause_s))
                pause_s = min(2 * pause_s, 10.0)
        return False

    async def _join(self, source: "Source", delivery: "Delivery") -> None:
        from streamrnn.kafka.admin import prepare_topics  # aiokafka

        partitions = await prepare_topics(self.settings)
        self._say_memory(partitions)
        await delivery.start()
        # A member that vanished is still one of the group until its session ends; the group waits for it.
        self._waiting_for = f"joining the group {self.settings.kafka.group}"
        await source.start()
        self.metrics.broker_up(True)

    def _say_memory(self, partitions: int) -> None:
        cap, row = self.settings.engine.max_streams, self.engine.row_bytes
        log.info(
            "%s on %s: %d bytes a stream, at most %d streams in each of %d partitions = %.1f MB of state",
            *(self.engine.spec.label, self.engine.device, row, cap, partitions, row * cap * partitions / 1e6),
        )

    async def _drive(self, worker: "Worker", source: "Source", stop: asyncio.Event) -> None:
        """Run the worker, and have it follow the registry."""
        from streamrnn.worker.lineup.model_control import ModelControl  # torch

        lineup, ended = worker.lineup, worker.assigner.ended
        self._inspection = Inspection(self.settings.input.key, lambda: [v.thread for v in lineup.speaking()])
        self._models = ModelControl(self.settings, source, lineup, self.metrics, LOADING, ended)
        self._models.start()
        self._line = None  # the lineup's now, to be let go when another has taken over
        try:
            await self._until_ended(worker, stop)
        finally:
            await self._models.stop()
            for voice in lineup.voices():
                voice.thread.close()

    async def _until_ended(self, worker: "Worker", stop: asyncio.Event) -> None:
        """Run the worker; the budget runs from the moment `stop` is set."""
        running = asyncio.create_task(worker.run(stop), name="worker")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            budget_s = self.settings.limits.shutdown_budget_s
            await asyncio.wait({running}, timeout=budget_s - self._closing_s)
            if not running.done():
                late = f"not finished within the shutdown budget of {budget_s} s"
                raise NotInTime(f"{late}; what was not committed will be read again")
            running.result()
        finally:
            for task in (running, stopping):
                task.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)

    def is_alive(self) -> bool:
        """False when the worker's loop has made no round for a minute."""
        return self.worker is None or self.worker.health.is_alive()

    def ready(self) -> tuple[bool, str]:
        """Whether every partition is live, with the reason when not."""
        return (False, self._waiting_for) if self.worker is None else self.worker.health.readiness()

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        """All that is held of the stream whose key is shown so; DataError if no key is."""
        return await self._inspection.stream(stream, partition)

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Up to `limit` resident streams whose shown key begins so."""
        return await self._inspection.streams(limit, prefix)

    @property
    def is_followed(self) -> bool:
        """Whether the registry says which models are wanted, rather than the settings."""
        return self.settings.model.path is None and self.settings.model.version is None

    async def ask(self) -> None:
        """Look at once which models are wanted; at the start that is done anyway."""
        if self._models is not None:
            await self._models.ask()

    async def state(self) -> dict[str, Any]:
        """Which models run and how far they are."""
        return {"waiting_for": self._waiting_for} if self._models is None else await self._models.state()

    def status(self) -> dict[str, Any]:
        """The whole service at a glance."""
        is_ready, why = self.ready()
        return self._inspection.glance() | {
            "ready": is_ready,
            "reason": why,
            "partitions": self.worker.health.phases() if self.worker else {},
            "features_missing": self.worker.health.features_missing() if self.worker else {},
            "guarantee": self.settings.delivery.guarantee,
            "uptime_s": time.monotonic() - self._started_s,
        }


def _make_line(model: "Model", settings: Settings, metrics: Metrics) -> "Line":
    from streamrnn.worker.line import make_line  # torch and numba: on the loading thread, while HTTP answers

    return make_line(model, settings, metrics)


async def _serve_until_told(settings: Settings, seat: Seat | None, input_end: InputEnd | None) -> None:
    """Until a signal, or until the supervisor that the seat is of says so or is gone."""
    service, stop = Service(settings, seat=seat), asyncio.Event()
    if input_end is not None:
        input_end.stops(stop, settings.limits.shutdown_budget_s + LONGEST_JOIN_S)
    with stop_signals(stop):
        await service.run(stop)


def serve(settings: Settings, seat: Seat | None = None, input_end: InputEnd | None = None) -> int:
    """`streamrnn serve`: 0 after an orderly stop, else the error's exit code.

    seat, input_end: of one worker of several, which its supervisor tells to stop by the end of its input.
    """
    configure_logging(settings, None if seat is None else seat.number)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_serve_until_told(settings, seat, input_end))
    except StreamrnnError as error:
        log.error("%s", error)
        return leave(error.exit_code, LOADING)
    log.info("stopped")
    return leave(0, LOADING)

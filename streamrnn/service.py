"""Composition root and lifecycle: build, start, run, stop within a budget. Owns no logic of its own."""

import asyncio
import dataclasses
import json
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerError, BrokerUnavailable, ConfigError, StreamrnnError
from streamrnn.http.probes import routes
from streamrnn.http.server import HttpServer
from streamrnn.interpreter import tuned_interpreter
from streamrnn.kafka.admin import prepare_topics
from streamrnn.kafka.sink import Sink
from streamrnn.kafka.source import Source
from streamrnn.metrics import Metrics
from streamrnn.nn.bundle import load_bundle
from streamrnn.nn.model import Model
from streamrnn.registry import Registry
from streamrnn.worker.loop import Worker

log = logging.getLogger(__name__)
T = TypeVar("T")
STALLED_S = 60.0


def load_model(settings: Settings) -> Model:
    """The bundle at `model.path`, or `model.name` from `model.registry`; ConfigError if neither is set."""
    model = settings.model
    if model.path is not None:
        return load_bundle(model.path)
    if model.registry is not None and model.name:
        return Registry(model.registry).load(model.name, model.version)
    raise ConfigError("no model: set model.path, or model.registry and model.name")


class Service:
    """One worker with its engine, broker connections and HTTP server; also what the probes see."""

    def __init__(self, settings: Settings, model: Model | None = None) -> None:
        self.settings = settings
        engine = settings.engine
        self.engine = Engine(
            model or load_model(settings),
            max_streams=engine.max_streams,
            device=engine.device,
            block=engine.block,
            threads=engine.threads,
        )
        self.metrics = Metrics()
        self.metrics.model(self.engine.spec, str(self.engine.device))
        self.worker: Worker | None = None
        self._executor = ThreadPoolExecutor(1, "engine")
        self._started_s = time.time()
        self._source: Source | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then finish, publish, commit, leave, within `limits.shutdown_budget_s`."""
        with tuned_interpreter():
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        http = HttpServer(self.settings.http.host, self.settings.http.port, routes(self))
        try:
            if self.settings.http.enabled:
                await http.start()
            if await self._until_broker_answers(stop):
                await self._serve(stop)
        finally:
            if self.settings.http.enabled:
                await http.stop()
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _until_broker_answers(self, stop: asyncio.Event) -> bool:
        """Check the topics as soon as there is a broker; False when told to stop first."""
        pause_s = 0.5
        while not stop.is_set():
            try:
                partitions = await prepare_topics(self.settings)
            except BrokerUnavailable as error:
                self.metrics.broker_up(False)
                log.warning("waiting for the broker: %s", error)
                await _first_of(stop.wait(), asyncio.sleep(pause_s))
                pause_s = min(2 * pause_s, 10.0)
            else:
                self._say_memory(partitions)
                return True
        return False

    def _say_memory(self, partitions: int) -> None:
        cap, row = self.settings.engine.max_streams, self.engine.row_bytes
        log.info(
            "%s on %s: %d bytes a stream, at most %d streams in each of %d partitions = %.1f MB of state",
            *(self.engine.spec.label, self.engine.device, row, cap, partitions, row * cap * partitions / 1e6),
        )

    async def _serve(self, stop: asyncio.Event) -> None:
        source, sink = Source(self.settings), Sink(self.settings)
        self._source = source
        try:
            await sink.start()
            await source.start()
            self.worker = Worker(self.settings, source, sink, self.engine, self._executor, self.metrics)
            await self._drive(self.worker, stop)
        finally:
            await source.stop()
            await sink.stop()

    async def _drive(self, worker: Worker, stop: asyncio.Event) -> None:
        """Run the worker and its observers; the budget runs from the moment `stop` is set."""
        running = asyncio.create_task(worker.run(stop), name="worker")
        watching = asyncio.create_task(self._watch(worker), name="watch")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({running, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            budget_s = self.settings.limits.shutdown_budget_s
            await asyncio.wait({running}, timeout=budget_s)
            if not running.done():
                raise BrokerUnavailable(
                    f"not finished within the shutdown budget of {budget_s} s; "
                    "what was not committed will be read again"
                )
            running.result()
        finally:
            for task in (running, watching, stopping):
                task.cancel()
            await asyncio.gather(running, watching, stopping, return_exceptions=True)

    async def _watch(self, worker: Worker) -> None:
        """Every second: residents, lag and the event loop's own lateness."""
        while True:
            due = time.perf_counter() + 1.0
            await asyncio.sleep(1.0)
            self.metrics.loop_lag(max(0.0, time.perf_counter() - due))
            engine = self.engine
            self.metrics.resident(engine.resident, engine.slab_bytes, engine.evicted_total)
            await self._observe_lag(worker)

    async def _observe_lag(self, worker: Worker) -> None:
        assert self._source is not None
        positions = worker.assigner.positions()
        try:
            ends = await self._source.end_offsets(positions)
        except BrokerError as error:
            return log.debug("lag unknown: %s", error)
        for number, position in positions.items():
            behind = max(0, ends.get(number, position) - position)
            late_s = worker.lateness_s(number) if behind else 0.0
            self.metrics.lag(number, behind, late_s)
        return None

    def is_alive(self) -> bool:
        """False when the worker's loop has made no round for a minute."""
        return self.worker is None or time.monotonic() - self.worker.beat_s < STALLED_S

    def ready(self) -> tuple[bool, str]:
        """Whether every partition is live, with the reason when not."""
        worker = self.worker
        if worker is None or not worker.assigner.is_assigned:
            return False, "waiting for partitions"
        if not worker.broker_is_up:
            return False, "the broker is away"
        if worker.breaker.is_open(time.monotonic()):
            return False, "too many dead letters: the breaker is open"
        waiting = {n: phase for n, phase in worker.assigner.phases().items() if phase != "live"}
        return not waiting, f"partitions not live: {waiting}" if waiting else "ok"

    def metrics_text(self) -> bytes:
        """The exposition for Prometheus."""
        return self.metrics.text()

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        """All that is held of one stream."""
        view = await self._on_engine(lambda: self.engine.inspect(partition, stream.encode()))
        return None if view is None else dataclasses.asdict(view)

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Up to `limit` resident streams."""
        found = await self._on_engine(lambda: self.engine.streams(limit, prefix.encode()))
        return [{"partition": p, "stream": s.decode(errors="replace"), "steps": n} for p, s, n in found]

    async def _on_engine(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def status(self) -> dict[str, Any]:
        """The whole service at a glance."""
        is_ready, why = self.ready()
        return {
            "model": self.engine.spec.label,
            "device": str(self.engine.device),
            "ready": is_ready,
            "reason": why,
            "partitions": self.worker.assigner.phases() if self.worker else {},
            "streams": self.engine.resident,
            "evicted": self.engine.evicted_total,
            "slab_bytes": self.engine.slab_bytes,
            "uptime_s": time.time() - self._started_s,
        }


async def _first_of(*waits: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    _, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in late:
        task.cancel()


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time in ms since the epoch, level, logger, message and a traceback if there is one."""
        line = {
            "time": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(settings: Settings) -> None:
    """Log to standard error as `log.level` and `log.format` say."""
    lines = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    lines.setFormatter(JsonLines() if settings.log.format == "json" else text)
    logging.basicConfig(level=settings.log.level.upper(), handlers=[lines], force=True)


async def _until_signalled(service: Service) -> None:
    """Run until SIGTERM or SIGINT; a second one ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        log.info("%s: finishing; a second signal ends at once", signal.Signals(number).name)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await service.run(stop)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def serve(settings: Settings) -> int:
    """`streamrnn serve`: 0 after an orderly stop, else the error's exit code."""
    configure_logging(settings)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_until_signalled(Service(settings)))
    except StreamrnnError as error:
        log.error("%s", error)
        return error.exit_code
    log.info("stopped")
    return 0

"""Which partitions this worker may step, and how their state comes to be there. Owns phases and warm-up.

A partition that comes back untouched after a rebalance keeps its rows; else its state is rebuilt by
replaying the last `input.warmup_ticks` records before the committed offset, with nothing published.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from streamrnn.codecs import Decoder
from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.errors import BrokerError
from streamrnn.kafka.history import read_range
from streamrnn.kafka.source import Source
from streamrnn.metrics import Metrics
from streamrnn.ticks import Record
from streamrnn.worker.partition import Partition, Phase

log = logging.getLogger(__name__)
T = TypeVar("T")
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0


class Assigner:
    """The partitions of one worker, from assignment to live."""

    def __init__(
        self, settings: Settings, source: Source, engine: Engine, executor: ThreadPoolExecutor,
        decoder: Decoder, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._settings, self._source, self._engine = settings, source, engine
        self._executor, self._decoder, self._metrics = executor, decoder, metrics
        self._partitions: dict[int, Partition] = {}
        self._parked: dict[int, Partition] = {}
        self._recoveries: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self.is_assigned = False

    def live(self) -> list[int]:
        """Partitions that may be fetched."""
        return [p.number for p in self._partitions.values() if p.phase is Phase.LIVE]

    def phases(self) -> dict[int, str]:
        """Each owned partition's phase."""
        return {number: p.phase.value for number, p in self._partitions.items()}

    def positions(self) -> dict[int, int]:
        """The next offset of each live partition."""
        return {p.number: p.position for p in self._partitions.values() if p.phase is Phase.LIVE}

    def stepped(self, positions: Mapping[int, int]) -> None:
        """Take note of how far the state has come."""
        for number, position in positions.items():
            if number in self._partitions:
                self._partitions[number].position = position

    def committed(self, positions: Mapping[int, int]) -> None:
        """Take note of what the group's committed offsets now are."""
        for number, position in positions.items():
            if number in self._partitions:
                self._partitions[number].committed = position

    async def admit(self, numbers: Iterable[int]) -> None:
        """Follow a new assignment: park what went, gate what came, recover it in the background."""
        await self._cancel_recoveries()
        known = self._parked | self._partitions
        self._partitions = {n: known.pop(n, Partition(n)) for n in sorted(numbers)}
        self._parked = {n: p for n, p in known.items() if p.position >= 0}
        for partition in self._partitions.values():
            partition.phase = Phase.GATED
            self._spawn(partition)
        self.is_assigned = True
        self._metrics.state(self.phases())

    def _spawn(self, partition: Partition) -> None:
        task = asyncio.create_task(self._recover(partition), name=f"recover-{partition.number}")
        self._recoveries.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._recoveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    def raise_failure(self) -> None:
        """Raise what ended a recovery that was not the broker's doing: a failing device costs the process."""
        if self._failure is not None:
            raise self._failure

    async def _recover(self, partition: Partition) -> None:
        """Bring one partition to live; a failure keeps it gated, is counted, and is tried again."""
        while True:
            try:
                await self._recover_once(partition)
                return
            except BrokerError as error:
                partition.attempts += 1
                partition.phase = Phase.GATED
                pause_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(partition.attempts - 1, 10))
                log.warning("partition %d stays gated, try %d: %s", partition.number, partition.attempts, error)
                await asyncio.sleep(pause_s)

    async def _recover_once(self, partition: Partition) -> None:
        partition.phase = Phase.RECOVERING
        self._metrics.state(self.phases())
        committed = await self._source.committed(partition.number)
        if partition.holds_state_for(committed):
            log.info("partition %d goes on at %d with its rows", partition.number, partition.position)
            await self._commit_published(partition)
        else:
            start = await self._first(partition.number) if committed is None else committed
            partition.position = -1  # cut short, the rows stand for nothing
            await self._rebuild(partition.number, start)
            partition.position, partition.committed = start, start
        self._source.seek(partition.number, partition.position)
        partition.phase, partition.attempts = Phase.LIVE, 0
        self._metrics.state(self.phases())

    async def _commit_published(self, partition: Partition) -> None:
        """All below `position` was published before the rebalance, which kept it from being committed."""
        if partition.position != partition.committed:
            await self._source.commit({partition.number: partition.position})
            partition.committed = partition.position

    async def _first(self, number: int) -> int:
        """Where a group without a committed offset begins; committed at once, so that it stays there."""
        start = await self._source.first_start(number)
        await self._source.commit({number: start})
        return start

    async def _rebuild(self, number: int, stop: int) -> None:
        """Fresh rows, then the state that the records just before `stop` make."""
        await self._on_engine(self._engine.drop, number)
        start = max(0, stop - self._settings.input.warmup_ticks)
        replayed = 0
        if start < stop:
            limit = self._settings.input.max_poll_records
            async with aclosing(read_range(self._settings, number, start, stop, limit)) as batches:
                async for records in batches:
                    await self._on_engine(self._warm, records)
                    replayed += len(records)
        log.info("partition %d warmed up with %d records before %d", number, replayed, stop)

    def _warm(self, records: list[Record]) -> None:
        """On the engine thread: step and publish nothing."""
        self._engine.step(self._decoder.decode(records)[0], warm=True)

    async def _on_engine(self, call: Callable[[T], None], argument: T) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, call, argument)

    async def _cancel_recoveries(self) -> None:
        for task in list(self._recoveries):
            task.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)

    async def close(self) -> None:
        """Stop recovering; phases say draining."""
        await self._cancel_recoveries()
        for partition in self._partitions.values():
            partition.phase = Phase.DRAINING
        self._metrics.state(self.phases())

"""A source and a delivery in memory: what Kafka does to a worker becomes a value in a test.

`Journal` keeps every publish and commit in the order in which they succeeded.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from streamrnn.errors import BrokerUnavailable, Rebalanced, RecordsRefused
from streamrnn.kafka.marks import Assignment, Mark, Membership
from streamrnn.ticks import OutRecord, Record

Place = tuple[int, int]
"""(partition, offset)."""


class Published(NamedTuple):
    """Records that the sink acknowledged together."""

    topic: str
    records: list[OutRecord]


class Committed(NamedTuple):
    """Positions that the source committed."""

    positions: dict[int, int]


Journal = list[Published | Committed]


class FakeSource:
    """One member's view of a topic of lists; a call takes its next error, None for none, from its `*_errors`."""

    def __init__(self, journal: Journal, ticks: Mapping[int, list[Record]], poll: int = 1000) -> None:
        self.journal, self.ticks, self.poll = journal, ticks, poll
        self.offsets: dict[int, int] = {}
        self.metadata: dict[int, str] = {}
        self.log_starts: dict[int, int] = {}
        self.fetched: list[Place] = []
        self.polls = 0
        self.skipped: Counter[str] = Counter()
        self.has_connection = True
        self.look_errors: deque[Exception] = deque()
        self.commit_errors: deque[Exception | None] = deque()
        self.fetch_errors: deque[Exception] = deque()
        self.committed_errors: dict[int, deque[Exception]] = {}
        self.on_fetched: Callable[[], None] = lambda: None
        self._at: dict[int, int] = {}
        self._keeps: frozenset[int] = frozenset()
        self._new: Assignment | None = None

    @property
    def topic_id(self) -> str:
        """Brokers of old have none."""
        return ""

    @property
    def is_topic_missing(self) -> bool:
        return False

    def is_connected(self) -> bool:
        return self.has_connection

    async def look_at_topic(self) -> None:
        if self.look_errors:
            raise self.look_errors.popleft()

    def revoke(self) -> None:
        """A rebalance begins: what was held is held no longer."""
        self._keeps, self._at, self._new = frozenset(), {}, None

    def assign(self, *partitions: int) -> None:
        """A rebalance ends."""
        self.revoke()
        self._new = Assignment(0, frozenset(partitions))

    def take_rebalance(self) -> Assignment | None:
        new, self._new = self._new, None
        if new is not None:
            self._keeps = new.partitions
        return new

    def has_rebalanced(self) -> bool:
        return self._new is not None

    async def fetch(self, live: Collection[int], timeout_ms: int = 50, most: int | None = None) -> list[Record]:
        self.polls += 1
        await asyncio.sleep(0)
        if self.fetch_errors:
            raise self.fetch_errors.popleft()
        found: list[Record] = []
        for partition in sorted(self._keeps.intersection(live)):
            at = self._at[partition]
            taken = self.ticks[partition][at : at + min(self.poll, most or self.poll) - len(found)]
            self._at[partition] = at + len(taken)
            found += taken
        if not found:
            await asyncio.sleep(0.001 if timeout_ms else 0)
        else:
            self.fetched += [(r.partition, r.offset) for r in found]
            self.on_fetched()
        return found

    def positions(self) -> dict[int, int]:
        return dict(self._at)

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._keeps:
            raise Rebalanced(f"partition {partition} is not held")
        self._at[partition] = offset

    async def committed(self, partition: int) -> Mark | None:
        await asyncio.sleep(0)
        if self.committed_errors.get(partition):
            raise self.committed_errors[partition].popleft()
        offset = self.offsets.get(partition)
        return None if offset is None else Mark(offset, self.metadata.get(partition, ""))

    async def first_start(self, partition: int) -> int:
        return 0

    async def log_start(self, partition: int) -> int:
        return self.log_starts.get(partition, 0)

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {partition: len(self.ticks[partition]) for partition in partitions}

    def membership(self) -> Membership:
        return Membership("group", 1, "member", None)

    def holds(self, partitions: Iterable[int]) -> bool:
        return self._keeps.issuperset(partitions)

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        await asyncio.sleep(0)
        if self.commit_errors and (error := self.commit_errors.popleft()):
            raise error
        if not self._keeps.issuperset(marks):
            raise Rebalanced("the group is rebalancing")
        self.take(marks)

    def take(self, marks: Mapping[int, Mark]) -> None:
        """The broker has the offsets."""
        self.offsets.update({p: mark.offset for p, mark in marks.items()})
        self.metadata.update({p: mark.metadata for p, mark in marks.items()})
        self.journal.append(Committed({p: mark.offset for p, mark in marks.items()}))

    async def read_again(
        self, partition: int, start: int, stop: int, most: int
    ) -> AsyncGenerator[list[Record], None]:
        """What a recovery would read again."""
        for first in range(start, stop, most):
            await asyncio.sleep(0)
            yield self.ticks[partition][first : min(stop, first + most)]


class Lost(NamedTuple):
    """A commit's answer that never came, though the broker did or did not as it was told."""

    was_applied: bool


class FakeDelivery:
    """Takes everything but what `errors` and `refuses` say, and notes it in the journal.

    At least once, records are seen as they are sent; exactly once, with the commit that follows.
    """

    def __init__(self, journal: Journal, source: FakeSource, is_exact: bool) -> None:
        self.journal, self.source, self.is_exact = journal, source, is_exact
        self.attempts = 0
        self.errors: deque[Exception | None] = deque()
        self.outcomes: deque[Exception | Lost | None] = deque()
        self.refuses: Callable[[str, OutRecord], bool] = lambda topic, record: False
        self.on_published: Callable[[], None] = lambda: None
        self.acknowledging: deque[Exception | None] = deque()
        self.commits_take: deque[int] = deque()
        """Turns of the event loop before, and then as many after, each commit is done."""
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.held_at = ""
        """Where a commit stays for as long as this is said: acknowledging, committing or committed."""
        self.is_closing = False
        """Whether a commit has begun and not ended."""
        self._open: list[Published] = []
        self._refused: RecordsRefused | None = None
        self._cut: RecordsRefused | None = None
        self._is_cut = self._began = False

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def begin(self, membership: Membership) -> None:
        if self.is_exact:
            assert not self._began, "a transaction ends before the next begins"
        self._began = True

    async def send(self, topic: str, records: Sequence[OutRecord]) -> "asyncio.Future[None]":
        assert self._began
        assert not (self.is_exact and self._is_cut), "nothing joins a transaction that is being committed"
        self.attempts += 1
        await self.is_open.wait()
        await asyncio.sleep(0)
        if self.errors and (error := self.errors.popleft()):
            raise error
        refused = [record for record in records if self.refuses(topic, record)]
        if refused:
            places = [record.place or (-1, -1, -1) for record in refused]
            self._refused = RecordsRefused(topic, dict.fromkeys(places, "MessageSizeTooLarge"))
        taken = Published(topic, [record for record in records if record not in refused])
        (self._open if self.is_exact else self.journal).append(taken)
        self.on_published()
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    def cut(self) -> None:
        assert not self._is_cut, "one commit at a time"
        self._is_cut, self._cut, self._refused = True, self._refused, None

    async def acknowledged(self) -> None:
        await asyncio.sleep(0)
        if self._is_cut:
            await self._pass("acknowledging")
        error = self.acknowledging.popleft() if self.acknowledging else None
        error = error or (self._cut if self._is_cut else self._refused)
        if error is not None:
            self.is_closing = False
            raise error

    async def commit(self, marks: Mapping[int, Mark]) -> None:
        turns = self.commits_take.popleft() if self.commits_take else 0
        try:
            await self.acknowledged()
            await self._pass("committing", turns)
            await (self._commit_exactly(marks) if self.is_exact else self.source.commit(marks))
            await self._pass("committed", turns)
        finally:
            self._is_cut, self._cut, self.is_closing = False, None, False

    async def _pass(self, moment: str, turns: int = 0) -> None:
        self.is_closing = True
        while self.held_at == moment or turns > 0:
            turns -= 1
            await asyncio.sleep(0)

    async def _commit_exactly(self, marks: Mapping[int, Mark]) -> None:
        outcome = self.outcomes.popleft() if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        if not self.source.holds(marks):
            raise Rebalanced("the generation is not the group's")
        if outcome is None or outcome.was_applied:
            self.journal += self._open
            self.source.take(marks)
            self._open = []
        if outcome is not None:
            raise BrokerUnavailable("no answer")
        self._began = False

    async def abort(self) -> None:
        assert not self.is_closing, "the commit under way ends first"
        self._open, self._refused, self._cut, self._began, self._is_cut = [], None, None, False, False


def place_of(record: OutRecord) -> Place:
    """The source position that a prediction or a dead letter names in its headers."""
    facts = dict(record.headers)
    partition = facts.get("src-partition", facts.get("__streamrnn.errors.partition", b""))
    return int(partition), int(facts.get("src-offset", facts.get("__streamrnn.errors.offset", b"")))


def published(journal: Journal, topic: str) -> list[OutRecord]:
    """All records of a topic in the order in which they were acknowledged."""
    return [r for done in journal if isinstance(done, Published) and done.topic == topic for r in done.records]


def check_order_of_durability(journal: Iterable[Published | Committed]) -> None:
    """Law 3: at each commit, all that lies below its positions is acknowledged."""
    acknowledged: set[Place] = set()
    for done in journal:
        if isinstance(done, Published):
            acknowledged.update(map(place_of, done.records))
        else:
            due = {(p, offset) for p, stop in done.positions.items() for offset in range(stop)}
            assert due <= acknowledged, f"committed before it was published: {sorted(due - acknowledged)}"

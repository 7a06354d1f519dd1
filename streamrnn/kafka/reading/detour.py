"""Owns the way past a place of a log that its own broker cannot read. Knows no consumer.

A broker finds an offset by its index, and from the entry before it by walking from batch to batch. A batch whose
length is wrong ends the walk: in CORRUPT_MESSAGE, or in an empty answer below the log's end. No offset from that
batch up to the next entry of the index can then be asked for. But an answer that begins before the batch also holds
the bytes behind it, which no broker looks into. Such an answer is a detour: it costs nothing but the batch itself.
"""

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka import errors as kafka_errors

from streamrnn.kafka.internals.answers import CORRUPT_MESSAGE, Part
from streamrnn.kafka.reading.batches import HEADER_BYTES, LOG_OVERHEAD, Header, Unreadable, check, read_header

Ask = Callable[[int, int], Awaitable[Part]]
"""Fetches from an offset, at least one batch and then at most so many bytes."""
PATIENCE_S = 3.0
"""A broker that refuses an offset for so long will go on so: what is wrong for a moment is over by then."""
SILENCE_S = 60.0
"""So long a silent broker may only be waiting for slow storage; after that, the place is thought to be lost."""
MOST_PATIENCE_S = 300.0
DETOUR_BYTES = 16 << 20
"""Of an answer that begins before the place: enough for the batch before, the bad one, and what lies behind."""


class Refusals:
    """Since when a broker has given nothing at the offset that is to be read next, by partition."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[TopicPartition, tuple[int, float, float, float]] = {}

    def is_due(self, tp: TopicPartition, offset: int) -> bool:
        """Take note of a refusal; whether it has gone on for so long that a detour is to be looked for."""
        known, _, since_s, patience_s = self._since.get(tp, (-1, 0.0, 0.0, 0.0))
        if known != offset:
            now_s = self._clock()
            self._since[tp] = offset, now_s, now_s, PATIENCE_S
            return False
        return self._clock() - since_s >= patience_s

    def put_off(self, tp: TopicPartition) -> None:
        """No detour was found: wait twice as long before the next look."""
        offset, first_s, _, patience_s = self._since[tp]
        self._since[tp] = offset, first_s, self._clock(), min(2 * patience_s, MOST_PATIENCE_S)

    def is_long(self, tp: TopicPartition) -> bool:
        """Whether it has gone on for so long that silence, too, means that the place is lost."""
        return self._clock() - self._since[tp][1] >= SILENCE_S

    def forget(self, tp: TopicPartition) -> None:
        """The broker has given something."""
        self._since.pop(tp, None)


class Detour(NamedTuple):
    """An answer to go on with: offsets before `start` are lost, and reading surely goes on at `beyond`.

    The answer may begin with batches that lie before `start`.
    """

    part: Part
    start: int
    beyond: int


async def find_detour(
    ask: Ask, refused: Part, offset: int, bounds: tuple[int, int], is_long: bool = False
) -> Detour | None:
    """How to go on where a broker answered `refused` at `offset`; None where nothing shows that it must be left.

    `bounds` are the log's first offset and the one after the last that may be read. is_long: whether silence has
    gone on for SILENCE_S. A KafkaError where a broker
    answers with one, as when another leads by now: that says nothing of the log.
    """
    log_start, end = bounds

    async def asked(where: int, most_bytes: int) -> Part:
        part = await ask(where, most_bytes)
        if part.code not in (0, CORRUPT_MESSAGE):
            raise kafka_errors.for_code(part.code)()
        return part

    async def can_read(where: int) -> bool:
        return _gives(await asked(where, 1))

    # 1. What is wrong for a moment is over: nothing is lost.
    again = await asked(offset, 1)
    if _gives(again):
        return Detour(again, offset, offset + 1)
    # 2. Behind the place: where the broker can be asked again, or else the end.
    behind = await _nearest(can_read, offset, max(offset, end - 1))
    beyond = end if behind is None else behind
    # 3. From before the place: its bytes, and those behind it.
    before = await _nearest(can_read, offset, log_start)
    if before is not None:
        part = await asked(before, DETOUR_BYTES)
        if _reaches(part.data, offset):
            return Detour(part, offset, beyond)
    # 4. There is nothing before it: what lies up to `behind` is lost. Silence says so only after long.
    if behind is not None and (refused.code == CORRUPT_MESSAGE or is_long):
        part = await asked(behind, DETOUR_BYTES)
        start = _first_of(part.data, offset, behind)
        return Detour(part, start, start)
    # 5. Silence alone may mean that compaction has left nothing there; CORRUPT_MESSAGE does not.
    if refused.code == CORRUPT_MESSAGE and end > offset:
        return Detour(Part(0, end, end, [], b""), end, end)
    return None


def _gives(part: Part) -> bool:
    return part.code == 0 and bool(part.data)


async def _nearest(can_read: Callable[[int], Awaitable[bool]], bad: int, limit: int) -> int | None:
    """The offset nearest to `bad` on the way to `limit` that can be read: by steps that double, then by halves."""
    step, far = (1, limit - bad) if limit >= bad else (-1, bad - limit)
    refused, good = 0, 1
    while refused < far and not await can_read(bad + step * min(good, far)):
        refused, good = min(good, far), 2 * good
    if refused >= far:
        return None
    good = min(good, far)
    while good - refused > 1:
        middle = (good + refused) // 2
        if await can_read(bad + step * middle):
            good = middle
        else:
            refused = middle
    return bad + step * good


def _reaches(data: bytes, offset: int) -> bool:
    """Whether there is more than sound batches that lie before `offset`."""
    rest = memoryview(data)
    while (size := _sound_before(rest, offset)) is not None:
        rest = rest[size:]
    return bool(rest)


def _sound_before(rest: memoryview, offset: int) -> int | None:
    """The bytes of the first batch if that is sound and lies before `offset`."""
    header = _sound(rest)
    return None if header is None or header.stop > offset else header.length + LOG_OVERHEAD


def _first_of(data: bytes, offset: int, behind: int) -> int:
    """The first offset from `offset` on that the answer from `behind` on holds.

    The index may name the last offset of a batch: then the answer begins with that batch's first.
    """
    header = _sound(memoryview(data))
    return max(offset, header.base) if header is not None and header.base <= behind < header.stop else behind


def _sound(rest: memoryview) -> Header | None:
    """The header of the batch of form 2 that begins there, if the batch is whole and right."""
    try:
        header = read_header(rest)
        if header.magic != 2 or not HEADER_BYTES <= header.length + LOG_OVERHEAD <= len(rest):
            return None
        check(header, rest[: header.length + LOG_OVERHEAD])
    except Unreadable:
        return None
    return header

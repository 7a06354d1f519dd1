"""An answer of a broker to a request for records, and on what terms its records are read. Reads none of them."""

from collections.abc import Callable
from typing import NamedTuple

from aiokafka import TopicPartition

from streamrnn.kafka.reading.ahead import NOTHING_AHEAD, Ahead


class Skip(NamedTuple):
    """Offsets start to stop - 1 of a partition cannot be read, for one of batches.REASONS; `why` in words."""

    tp: TopicPartition
    start: int
    stop: int
    reason: str
    why: str


class Terms(NamedTuple):
    """What unreadable batches are met with: `skip` is told of each, and says whether reading goes on behind it.

    `is_doubtful` says whether an offset was met beyond the log's end before, and takes note of it.
    """

    limit: int
    skip: Callable[[Skip], bool]
    is_doubtful: Callable[[TopicPartition, int], bool]


class Answer(NamedTuple):
    """What a broker sent of a partition: the log's bytes, its end then, (producer, first offset) of what was
    aborted in it, and what was unpacked of it ahead.

    In a detour's answer the broker can read nothing before `begins`, and reading goes on at `beyond` where nothing
    else tells. It may hold batches that lie before what is wanted.
    """

    data: bytes
    highwater: int
    aborted: list[tuple[int, int]]
    begins: int = 0
    beyond: int | None = None
    ahead: Ahead = NOTHING_AHEAD

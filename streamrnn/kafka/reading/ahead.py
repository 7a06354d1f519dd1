"""Owns decompression off the event loop: of an answer as it comes in, before anybody reads its records.

The libraries of all codecs let the interpreter go meanwhile, so heartbeats are sent and other answers come in. What
is small, too much at once or wrong is left: whoever reads it unpacks it, or says what is wrong. Knows no consumer.
"""

import asyncio
import weakref
from struct import Struct

from streamrnn.kafka.reading.batches import HEADER_BYTES, LOG_OVERHEAD, MAGIC_AT, read_header
from streamrnn.kafka.reading.compression import CODECS, TooLarge, Undecodable, decompress

LEAST_BYTES = 16 << 10
"""Of an answer: a smaller one is unpacked before a thread has woken up."""
MOST_BYTES = 32 << 20
"""Unpacked and not read yet, of all answers together."""
_FRAME = Struct(">qi")
Held = bytes | bytearray | memoryview


class Ahead:
    """What was unpacked of one answer, by the place where each batch begins; each is taken once."""

    __slots__ = ("__weakref__", "_held", "nbytes")

    def __init__(self, held: dict[int, Held]) -> None:
        self._held, self.nbytes = held, sum(map(len, held.values()))

    def take(self, at: int) -> Held | None:
        """The records' bytes of the batch there; None where they were not unpacked."""
        held = self._held.pop(at, None)
        self.nbytes -= 0 if held is None else len(held)
        return held


NOTHING_AHEAD = Ahead({})


class AheadOfReading:
    """Unpacks answers on threads; limit: bytes that a batch may hold; most: of all that was not read yet."""

    def __init__(self, limit: int, most: int = MOST_BYTES) -> None:
        self._limit, self._most, self._unread = limit, most, weakref.WeakSet[Ahead]()

    async def unpacked(self, data: bytes) -> Ahead:
        """What an answer holds that is compressed, from its first batch on as far as there is room."""
        room = self._most - sum(ahead.nbytes for ahead in self._unread)
        if len(data) < LEAST_BYTES or room <= 0 or not _is_packed(data):
            return NOTHING_AHEAD
        ahead = Ahead(await asyncio.to_thread(unpack, data, self._limit, room))
        self._unread.add(ahead)
        return ahead


def _is_packed(data: bytes) -> bool:
    """Whether the first batch is compressed: those of a producer are alike, and most topics have one."""
    return data[MAGIC_AT] == 2 and read_header(memoryview(data)).codec != 0


def unpack(data: bytes, limit: int, room: int) -> dict[int, Held]:
    """By place the records' bytes of compressed batches, up to the first that is not sound; `room` bytes in all."""
    found: dict[int, Held] = {}
    log, at = memoryview(data), 0
    while at + HEADER_BYTES <= len(log) and room > 0:
        stop = at + LOG_OVERHEAD + _FRAME.unpack_from(log, at)[1]
        header = read_header(log[at:])
        if not at + HEADER_BYTES <= stop <= len(log) or header.magic != 2 or header.codec >= len(CODECS):
            break
        if header.codec:
            try:
                found[at] = decompress(header.codec, log[at + HEADER_BYTES : stop], min(limit, room))
            except (Undecodable, TooLarge):
                break
            room -= len(found[at])
        at = stop
    return found

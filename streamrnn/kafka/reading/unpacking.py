"""Owns how one answer of a broker becomes records: batch after batch, past what is aborted and what is unreadable.

Compiled code reads a batch as far as it can, the plain reader what that refuses. What neither can read is skipped,
or refused: exactly the offsets that its header says it holds, where the header agrees with what lies around it.
Every decision depends on the log alone, so that whoever reads it again skips the same. Knows no consumer.
"""

from collections.abc import Iterator
from contextlib import suppress
from struct import Struct

from aiokafka import TopicPartition

from streamrnn.kafka.reading.ahead import Held
from streamrnn.kafka.reading.answer import Answer, Skip, Terms
from streamrnn.kafka.reading.batches import (
    HEADER_BYTES,
    LOG_OVERHEAD,
    MAGIC_AT,
    MOST_HEADERS,
    Header,
    LogRecord,
    Unreadable,
    check,
    check_legacy,
    read_header,
    read_legacy,
    read_records,
    unpacked,
)
from streamrnn.kafka.reading.record_chunk import BatchWalk, RecordChunk
from streamrnn.ticks import Record, RecordColumns

_FRAME = Struct(">qi")
_SHORTEST = 14
"""Bytes behind the length of the shortest message of any form."""
_MOST_LOOKS, _MOST_TRIES = 1 << 18, 64
"""Places looked at, and checksums computed, in search of where the log goes on."""


class _Later(Exception):
    """The rest is to be fetched again."""


class Unpacking:
    """The records of an answer from `next_fetch_offset` on, each once, a chunk at a time."""

    def __init__(self, tp: TopicPartition, start: int, answer: Answer, terms: Terms) -> None:
        self.next_fetch_offset = start
        self._start, self._first = start, 0
        self._begins, self._beyond, self._ahead = answer.begins, answer.beyond, answer.ahead
        self._tp, self._terms, self._highwater = tp, terms, answer.highwater
        self._size, self._log = len(answer.data), memoryview(answer.data)
        self._aborted = sorted(answer.aborted, key=lambda pair: pair[1], reverse=True)
        self._aborting: set[int] = set()
        self._chunk, self._filling = RecordChunk(tp.partition, 0), self._unpack()
        self.is_over = False

    def take(self, most: int) -> RecordColumns:
        """The next records, at most so many; `is_over` once there are no more, which the last need not tell."""
        self._chunk = RecordChunk(self._tp.partition, most)
        self.is_over = next(self._filling, self) is self
        return self._chunk.taken()

    def _unpack(self) -> Iterator[None]:
        """Fills one chunk after the other, and yields when one is full."""
        at: int | None = 0 if self._size else None
        with suppress(_Later):
            self._skip(self._begins, Unreadable("broker", "the broker cannot read its own log there"))
            while at is not None:
                stop = None
                try:
                    stop = self._end(at)
                    yield from self._batch(at, stop)
                    at = stop
                except Unreadable as error:
                    at = self._go_past(at, stop, error)

    def _end(self, at: int) -> int:
        """Where the batch ends; what is cut off at the end of an answer comes with the next."""
        left = self._size - at
        if left < LOG_OVERHEAD:
            raise Unreadable("cut", f"{left} bytes") if at == self._first else _Later
        length: int = _FRAME.unpack_from(self._log, at)[1]
        if length < _SHORTEST:
            raise Unreadable("header", f"a batch of {length} bytes")
        if length > left - LOG_OVERHEAD:
            said = f"{left} of {LOG_OVERHEAD + length} bytes"
            raise Unreadable("cut", said) if at == self._first else _Later
        return at + LOG_OVERHEAD + length

    # What can be read

    def _batch(self, at: int, stop: int) -> Iterator[None]:
        batch = self._log[at:stop]
        magic = batch[MAGIC_AT]
        if magic > 2:
            raise Unreadable("magic", f"its form {magic} is unknown")
        if magic < 2:
            end, records = self._legacy(batch, stop)
        else:
            header = read_header(batch)
            check(header, batch)
            if self._beyond is not None and header.stop <= self.next_fetch_offset:
                self._counts(header)  # of a batch before what is wanted: it may end what its producer had begun
                self._first = stop
                return
            self._check_place(header.base, header.stop, stop)
            held = self._ahead.take(at)
            end, records = header.stop, self._walk(header, batch, held) if self._counts(header) else iter(())
        try:
            yield from records
        except Unreadable as error:  # the header is sound: all records before stand, and all after are lost
            self._skip(end, error)
        self.next_fetch_offset = end

    def _check_place(self, base: int, end: int, stop: int) -> None:
        """The checksum does not cover where a batch lies: base to end - 1, it says. At `stop` the next begins.

        What is decided must not depend on where reading began.
        """
        position, said = self.next_fetch_offset, f"it says to hold {base} to {end - 1}"
        if end <= position:
            raise Unreadable("header", f"{said}, behind {position}")
        if base > position and (after := self._base(stop)) is not None and after < end:
            raise Unreadable("header", f"{said}, {after} is behind it")
        # The end is looked up before the log is read, which may have grown by then.
        if end > self._highwater:
            if not self._terms.is_doubtful(self._tp, position):
                raise _Later
            raise Unreadable("header", f"{said}, beyond the log's end")

    def _counts(self, header: Header) -> bool:
        """Whether its records are for readers: no marker's are, nor those of an aborted transaction (KIP-98)."""
        while self._aborted and self._aborted[-1][1] <= header.base:
            self._aborting.add(self._aborted.pop()[0])
        if header.is_control:
            self._aborting.discard(header.producer)  # whatever it says, it ends what its producer had begun
            return False
        return not (header.is_transactional and header.producer in self._aborting)

    def _walk(self, header: Header, batch: memoryview, ahead: Held | None) -> Iterator[None]:
        """Compiled code reads as far as it can; the plain reader goes on behind that, or says why nobody can.

        ahead: what the batch holds, where it is known.
        """
        held = unpacked(header, batch, self._terms.limit) if ahead is None else memoryview(ahead)
        last = header.stop - 1
        walk = BatchWalk(header, held)
        while not walk.is_over:
            self.next_fetch_offset = self._chunk.walk(walk, self.next_fetch_offset, last)
            if not self._chunk.is_full:
                break
            yield
        yield from self._plainly(read_records(header, held, walk.number, walk.at), last)

    def _legacy(self, batch: memoryview, stop: int) -> tuple[int, Iterator[None]]:
        """The offset after a message of form 0 or 1, and what it holds."""
        check_legacy(batch)
        last: int = _FRAME.unpack_from(batch)[0]
        self._check_place(last, last + 1, stop)
        return last + 1, self._plainly(read_legacy(batch, self._terms.limit), last)

    def _plainly(self, records: Iterator[LogRecord], last: int) -> Iterator[None]:
        number = self._tp.partition
        for offset, time_ms, key, value, named in records:
            if offset > last:
                raise _beyond(offset, last)
            if offset >= self.next_fetch_offset:
                if named is None:
                    self._pass_over(offset)
                    continue
                self.next_fetch_offset = offset + 1
                headers = [(name.decode("utf-8", "surrogateescape"), content) for name, content in named]
                self._chunk.add(Record(number, offset, time_ms, key, value, headers))
                if self._chunk.is_full:
                    yield

    # What cannot

    def _pass_over(self, offset: int) -> None:
        """Skip one record of a sound batch, for its headers."""
        self.next_fetch_offset = offset
        self._skip(offset + 1, Unreadable("headers", f"a record with more than {MOST_HEADERS} headers"))

    def _skip(self, stop: int, error: Unreadable) -> None:
        """Move the position to `stop`; _Later where unreadable batches are refused."""
        position = self.next_fetch_offset
        if stop > position:
            if not self._terms.skip(Skip(self._tp, position, stop, error.reason, str(error))):
                raise _Later
            self.next_fetch_offset = stop

    def _go_past(self, at: int, stop: int | None, error: Unreadable) -> int | None:
        """Skip a batch whose header is not to be trusted; where the next begins, None to fetch the rest again."""
        claimed = self._claimed(at)
        found = self._resume(at, stop, claimed)
        if found is None:
            if self.next_fetch_offset == self._start:  # else, fetched again, it comes first, with more behind it
                known = (self._beyond or 0) if claimed is None else min(claimed, self._highwater)
                self._skip(max(known, self._start + 1), error)
            return None
        base, position = _FRAME.unpack_from(self._log, found)[0], self.next_fetch_offset
        self._skip(base if claimed is None else min(claimed, base), error)
        # Fetched anew, the broker says again what is aborted: the unreadable may have been such a marker.
        # Behind a header that is no header a detour goes on: it would come back to the same answer.
        moved = self.next_fetch_offset > position
        is_anew = self._beyond is None and moved if claimed is None else self.next_fetch_offset == claimed
        return None if is_anew else found

    def _claimed(self, at: int) -> int | None:
        """The offset after the batch as its header has it, None where that cannot be."""
        batch, position = self._log[at : self._size], self.next_fetch_offset
        if len(batch) <= MAGIC_AT or batch[MAGIC_AT] > 2:
            return None
        stop = _FRAME.unpack_from(batch)[0] + 1
        if batch[MAGIC_AT] == 2:
            if len(batch) < HEADER_BYTES:
                return None
            header = read_header(batch)
            if header.last_delta < 0:
                return None
            stop = header.stop
        return stop if stop > position else None

    def _resume(self, at: int, stop: int | None, claimed: int | None) -> int | None:
        """Where a batch begins behind the one at `at`: where that ends, or else the first that is whole.

        A header that claims more than lies before what is there may lie about its length as well.
        """
        after = None if stop is None else self._base(stop)
        if after is not None and claimed is not None and claimed <= after:
            return stop
        data, at, tries = self._log[: self._size].tobytes(), at + MAGIC_AT, _MOST_TRIES
        for _ in range(_MOST_LOOKS):
            at = data.find(b"\2", at + 1)
            if at < 0 or not tries:
                break
            if self._is_likely(at - MAGIC_AT):
                tries -= 1
                if self._base(at - MAGIC_AT) is not None:
                    return at - MAGIC_AT
        return None

    def _is_likely(self, at: int) -> bool:
        """Whether offsets and length are such as a whole batch of form 2 could have here.

        A detour needs those before what is wanted too: they may end what their producer had begun.
        """
        left = self._size - at
        if left < HEADER_BYTES or self._log[at + MAGIC_AT] != 2:
            return False
        header = read_header(self._log[at:])
        is_whole = HEADER_BYTES - LOG_OVERHEAD <= header.length <= left - LOG_OVERHEAD
        may_count = self._beyond is not None or header.stop > self.next_fetch_offset
        return is_whole and header.base <= self._highwater and may_count

    def _base(self, at: int) -> int | None:
        """The first offset of a batch that begins there and is whole, None if that is none."""
        if not self._is_likely(at):
            return None
        base, length = _FRAME.unpack_from(self._log, at)
        batch = self._log[at : at + LOG_OVERHEAD + length]
        try:
            check(read_header(batch), batch)
        except Unreadable:
            return None
        return int(base)


def _beyond(offset: int, last: int) -> Unreadable:
    return Unreadable("record", f"a record of offset {offset} in a batch that ends at {last}")

"""From a broker's answer to records: what is right comes as aiokafka gives it, what is not costs what it holds."""

import gzip
import struct
import tracemalloc
from collections.abc import Callable

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.memory_records import MemoryRecords

from streamrnn.kafka.reading.answer import Answer, Skip, Terms
from streamrnn.kafka.reading.unpacking import Unpacking
from streamrnn.ticks import Record

from . import logs
from .logs import CODECS, Row, batch, marker, message, sealed, ten

TP = TopicPartition("ticks", 3)
LIMIT = 1 << 20
ODD = b"\xff\xfe-key"


class Reader:
    """A log of bytes, fetched again and again as a consumer does, until its end."""

    def __init__(self, log: bytes, end: int, refuses: bool = False, limit: int = LIMIT) -> None:
        self.log, self.end, self.limit = log, end, limit
        self.skips: list[Skip] = []
        self.position, self.fetches = 0, 0
        self._refuses, self._doubts = refuses, set[int]()
        self.aborted: list[tuple[int, int, int]] = []

    def _skip(self, skip: Skip) -> bool:
        self.skips.append(skip)
        return not self._refuses

    def _is_doubtful(self, tp: TopicPartition, offset: int) -> bool:
        known = offset in self._doubts
        self._doubts.add(offset)
        return known

    def fetch(self, data: bytes | None = None, most: int = 1 << 30) -> list[Record]:
        """One answer, of which at most so many records are taken."""
        self.fetches += 1
        data = self.from_(self.position) if data is None else data
        aborted = [(producer, first) for producer, first, last in self.aborted if last >= self.position]
        terms = Terms(self.limit, self._skip, self._is_doubtful)
        unpacking = Unpacking(TP, self.position, Answer(data, self.end, aborted), terms)
        got = unpacking.take(most).tolist()
        self.position = unpacking.next_fetch_offset
        return got

    def from_(self, position: int) -> bytes:
        """The log from the batch that a broker would begin with: the first whose last offset is not below."""
        at = 0
        while at + 61 <= len(self.log):
            base, length = struct.unpack_from(">qi", self.log, at)
            delta = struct.unpack_from(">i", self.log, at + 23)[0] if self.log[at + 16] == 2 else 0
            if base + max(0, delta) >= position or length < 0:
                break
            at += 12 + length
        return self.log[at:]

    def everything(self) -> list[Record]:
        got: list[Record] = []
        while self.position < self.end:
            before = self.position
            got += self.fetch(most=7)
            assert self.position > before or self.fetches < 3, "no further"
            assert self.fetches < 1000
        return got

    @property
    def skipped(self) -> list[tuple[int, int, str]]:
        return [(skip.start, skip.stop, skip.reason) for skip in self.skips]


def values(records: list[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in records]


def theirs(log: bytes, start: int = 0, aborted: list[tuple[int, int]] | None = None) -> tuple[list[Record], int]:
    """What aiokafka reads, and its position then."""
    records = PartitionRecords(TP, MemoryRecords(log), aborted, start, None, None, True, READ_COMMITTED)
    got = [Record(TP.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in records]
    return got, records.next_fetch_offset


SOUND = {
    **{f"codec {name}": ten(0, codec) for name, codec in CODECS.items()},
    "bare snappy": batch(0, [], logs.SNAPPY, count=1, body=bytes(cramjam.snappy.compress_raw(
        logs.record(Row(0), 0)))),
    "nulls": batch(0, [Row(0, None, None, [(b"h", None), (b"", b""), (b"h", b"2")]), Row(1, b"", b"")]),
    "append time": batch(0, [Row(0, time_ms=5), Row(1, time_ms=7)], attributes=logs.APPEND_TIME, max_ms=77),
    "no time": batch(0, [Row(0, time_ms=-1), Row(1, time_ms=-1)]),
    "year 9999": batch(0, [Row(0, time_ms=0), Row(1, time_ms=253_402_300_799_999)]),
    "wrapping time": batch(0, [Row(0, time_ms=2**63 - 1), Row(1, time_ms=-(2**63))]),
    "gaps": batch(0, [Row(1), Row(4)], last_delta=9) + batch(20, [], last_delta=5) + ten(40),
    "empty": batch(0, [], last_delta=9),
    "commit": batch(0, [Row(0)], attributes=logs.TRANSACTIONAL, producer=7) + marker(1, 7, 1) + ten(2),
    "unused attributes": batch(0, [Row(0)], attributes=0x40),
    "cut at the end": ten(0) + ten(10)[:-3],
    "message 0": message(0, b"k", b"v", magic=0) + message(1, None, None, magic=0),
    "message 1": message(0, b"k", b"v", time_ms=5) + message(1, None, b"", time_ms=-1),
    "messages in gzip": message(3, None, gzip.compress(b"".join(message(n, b"k", b"%d" % n) for n in range(4))),
                                attributes=logs.GZIP),
    "messages by append time": message(1, None, gzip.compress(message(0, b"a", b"b") + message(1, b"c", b"d")),
                                       attributes=logs.GZIP | logs.APPEND_TIME, time_ms=99),
}  # fmt: skip


ONE = ("bare snappy", "unused attributes", "message 0", "message 1")
"""Whose first batch holds one record."""


@pytest.mark.parametrize(("name", "start"), [(n, at) for n in SOUND for at in (0, 1) if not (at and n in ONE)])
def test_what_is_sound_is_read_as_aiokafka_reads_it(name: str, start: int) -> None:
    reader = Reader(SOUND[name], 1 << 40)
    reader.position = start
    expected, position = theirs(SOUND[name], start)
    expected = [r._replace(timestamp_ms=-1) if r.timestamp_ms is None else r for r in expected]
    assert reader.fetch(SOUND[name]) == expected
    assert reader.position == position
    assert reader.skips == []


def test_forms_may_follow_each_other() -> None:
    """aiokafka takes the first one's form for that of all."""
    log = message(0, b"k", b"0", magic=0) + message(1, b"k", b"1") + ten(2) + message(12, b"k", b"12")
    reader = Reader(log, 13)
    assert values(reader.fetch()) == list(range(13))
    assert reader.skips == []


def test_an_aborted_transaction_is_passed_over_whoever_begins_within_it() -> None:
    mine, other = ({"attributes": logs.TRANSACTIONAL, "producer": number} for number in (7, 8))
    log = ten(0, **mine) + ten(10, **other) + marker(20, 7) + ten(21, **mine) + marker(31, 7, 1) + marker(32, 8, 1)
    for start in (0, 5, 10, 15, 20, 25):
        reader = Reader(log, 33)
        reader.aborted, reader.position = [(7, 0, 20)], start
        expected, position = theirs(reader.from_(start), start, [(7, 0)] if start <= 20 else [])
        assert reader.fetch() == expected
        assert values(expected) == [n for n in [*range(10, 20), *range(21, 31)] if n >= start]
        assert reader.position == position == 33


def test_a_header_with_any_key_comes_with_its_bytes_in_surrogates() -> None:
    rows = [Row(0), Row(1, b"k", b"1", [(b"plain", b"x"), (ODD, b"y"), (b"\x00", None)]), Row(2, b"k", b"2")]
    for codec in CODECS.values():
        reader = Reader(batch(0, rows, codec) + ten(3), 13)
        got = reader.everything()
        assert [r.offset for r in got] == list(range(13))
        headers = [(key.encode("utf-8", "surrogateescape"), value) for key, value in got[1].headers]
        assert headers == rows[1].headers
        assert reader.skips == []


def damaged(name: str) -> bytes:
    """The middle one of three batches, in some way wrong."""
    good = ten(10, logs.GZIP)
    rows = [Row(n, b"k", b"%d" % (10 + n)) for n in range(10)]
    body = b"".join(logs.record(row, 1_000) for row in rows)
    bomb = bytes(cramjam.zstd.compress(bytes(64 << 20)))
    made: dict[str, Callable[[], bytes]] = {
        "flipped": lambda: good[:70] + bytes([good[70] ^ 1]) + good[71:],
        "crc": lambda: good[:18] + bytes([good[18] ^ 1]) + good[19:],
        "magic": lambda: good[:16] + b"\5" + good[17:],
        "codec": lambda: batch(10, rows, attributes=6),
        "gzip": lambda: batch(10, rows, logs.GZIP, body=b"no gzip"),
        "gzip cut": lambda: batch(10, rows, logs.GZIP, body=gzip.compress(body)[:-5]),
        "snappy": lambda: batch(10, rows, logs.SNAPPY, body=b"\xff\xff\xff\xff\xff"),
        "snappy block": lambda: batch(10, rows, logs.SNAPPY, body=logs.snappy_frames(body)[:16] + b"\xff" * 8),
        "snappy large": lambda: batch(10, rows, logs.SNAPPY, body=logs.varint(1 << 40) + b"1"),
        "lz4": lambda: batch(10, rows, logs.LZ4, body=logs.packed(logs.LZ4, body)[:-9]),
        "zstd": lambda: batch(10, rows, logs.ZSTD, body=logs.packed(logs.ZSTD, body)[:-1]),
        "bomb zstd": lambda: batch(10, rows, logs.ZSTD, body=bomb),
        "bomb gzip": lambda: batch(10, rows, logs.GZIP, body=gzip.compress(bytes(64 << 20))),
        "bomb lz4": lambda: batch(10, rows, logs.LZ4, body=logs.packed(logs.LZ4, bytes(64 << 20))),
        "bomb snappy": lambda: batch(10, rows, logs.SNAPPY, body=logs.snappy_frames(bytes(2 << 20), 1 << 16)),
        "count": lambda: batch(10, rows, count=11),
        "negative count": lambda: batch(10, rows, count=-1),
        "negative delta": lambda: batch(10, rows, last_delta=-5),
    }
    return made[name]()


DAMAGES = {
    **dict.fromkeys(("flipped", "crc"), "crc"),
    **dict.fromkeys(("gzip", "gzip cut", "snappy", "snappy block", "snappy large", "lz4", "zstd"), "compression"),
    **dict.fromkeys(("bomb zstd", "bomb gzip", "bomb lz4", "bomb snappy"), "too_large"),
    **dict.fromkeys(("count", "negative count", "negative delta"), "header"),
    "magic": "magic",
    "codec": "codec",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_batch_that_cannot_be_read_costs_its_own_offsets_and_no_others(name: str) -> None:
    reader = Reader(ten(0) + damaged(name) + ten(20), 30)
    assert values(reader.everything()) == [*range(10), *range(20, 30)]
    assert reader.skipped == [(10, 20, DAMAGES[name])]


@pytest.mark.parametrize("name", DAMAGES)
def test_where_it_is_refused_all_before_it_come_and_the_position_stays(name: str) -> None:
    reader = Reader(ten(0) + damaged(name) + ten(20), 30, refuses=True)
    assert values(reader.fetch()) == list(range(10))
    assert reader.fetch() == []
    assert reader.position == 10
    assert {(skip.start, skip.stop) for skip in reader.skips} == {(10, 20)}


@pytest.mark.parametrize("name", set(DAMAGES) - {"magic", "negative delta"})
def test_at_the_end_of_the_log_a_batch_costs_what_its_header_says(name: str) -> None:
    reader = Reader(ten(0) + damaged(name), 20)
    assert values(reader.everything()) == list(range(10))
    assert reader.skipped == [(10, 20, DAMAGES[name])]


@pytest.mark.parametrize("name", ["magic", "negative delta"])
def test_where_nothing_tells_more_one_offset_after_the_other_is_given_up(name: str) -> None:
    reader = Reader(ten(0) + damaged(name), 12)
    reader.position = 10
    reader.fetch(damaged(name))
    reader.fetch(damaged(name))
    assert reader.skipped == [(10, 11, DAMAGES[name]), (11, 12, DAMAGES[name])]


def test_no_more_memory_is_taken_than_the_limit_allows() -> None:
    logs_of = [damaged(f"bomb {name}") for name in ("zstd", "gzip", "lz4", "snappy")]
    tracemalloc.start()
    for bomb in logs_of:
        Reader(bomb, 20).fetch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * LIMIT


@pytest.mark.parametrize("count", [1001, 100_000, 3_000_000])
@pytest.mark.parametrize("codec", [logs.NONE, logs.ZSTD])
def test_a_record_of_nothing_but_headers_costs_itself_and_little_memory(count: int, codec: int) -> None:
    """Two bytes each in the log; aiokafka's reader takes some seventy for each in memory."""
    crowded = b"\0" + logs.varint(0) + logs.varint(5) + 2 * logs.sized(b"5") + logs.varint(count) + b"\0\1" * count
    plain = [logs.record(Row(n, b"k", b"%d" % n), 1_000) for n in range(10)]
    plain[5] = logs.varint(len(crowded)) + crowded
    log = batch(0, [Row(0)], codec, body=logs.packed(codec, b"".join(plain)), count=10, last_delta=9) + ten(10)
    reader = Reader(log, 20, limit=1 << 23)
    tracemalloc.start()
    got = reader.fetch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values(got) == [*range(5), *range(6, 20)]
    assert reader.skipped == [(5, 6, "headers")]
    assert peak < 48 << 20
    refusing = Reader(log, 20, refuses=True, limit=1 << 23)
    assert values(refusing.fetch()) == list(range(5))
    assert refusing.position == 5


def test_a_record_with_a_thousand_headers_is_read() -> None:
    headers = [(b"h%d" % n, b"v") for n in range(1000)]
    reader = Reader(batch(0, [Row(0, b"k", b"0", headers)]), 1)
    assert [len(record.headers) for record in reader.everything()] == [1000]
    assert reader.skips == []


def test_a_detour_passes_over_what_lies_before_and_knows_what_was_aborted_there() -> None:
    mine = {"attributes": logs.TRANSACTIONAL, "producer": 7}
    log = ten(0, **mine) + marker(10, 7) + ten(11)[:8] + struct.pack(">i", -5) + ten(11)[12:] + ten(21, **mine)
    for start, skipped in ((11, [(11, 21, "header")]), (21, [])):
        reader = Reader(log, 31)
        unpacking = detour(reader, start, [(7, 0)])
        assert values(unpacking.take(99).tolist()) == ([] if skipped else list(range(21, 31)))
        assert unpacking.next_fetch_offset == (21 if skipped else 31)  # then the broker says again what is aborted
        assert reader.skipped == skipped


def test_a_detour_hears_of_ends_between_the_bad_batch_and_what_is_wanted() -> None:
    mine = {"attributes": logs.TRANSACTIONAL, "producer": 7}
    bad = ten(10)[:8] + struct.pack(">i", -5) + ten(10)[12:]
    reader = Reader(ten(0, **mine) + bad + marker(20, 7) + ten(21, **mine) + marker(31, 7, 1), 32)
    assert values(detour(reader, 21, [(7, 0)]).take(99).tolist()) == list(range(21, 31))
    assert reader.skips == []


def detour(reader: Reader, start: int, aborted: list[tuple[int, int]]) -> Unpacking:
    answer = Answer(reader.log, reader.end, aborted, beyond=25)
    return Unpacking(TP, start, answer, Terms(LIMIT, reader._skip, reader._is_doubtful))


def test_where_a_detour_tells_no_more_it_is_left_where_the_broker_can_be_asked_again() -> None:
    for tail in (ten(10)[:8] + struct.pack(">i", -5) + b"\0\0\0\0\5", ten(10)[:40]):
        reader = Reader(ten(0) + tail, 31)
        unpacking = detour(reader, 10, [])
        assert unpacking.take(99).tolist() == []
        assert unpacking.next_fetch_offset == 25
        assert [(skip.start, skip.stop) for skip in reader.skips] == [(10, 25)]


def test_a_record_that_breaks_off_costs_what_comes_behind_it_in_its_batch() -> None:
    body = b"".join(logs.record(Row(n, b"k", b"%d" % n), 1_000) for n in range(5))
    for tail in (b"\x7f", logs.varint(1 << 40), b"\xff" * 11, logs.varint(3) + b"\0\0\0", logs.varint(-4)):
        reader = Reader(batch(0, [], body=body + tail, count=8, last_delta=9) + ten(10), 20)
        assert values(reader.everything()) == [*range(5), *range(10, 20)]
        assert reader.skipped == [(5, 10, "record")]


def test_bytes_behind_the_last_record_cost_nothing() -> None:
    body = b"".join(logs.record(Row(n, b"k", b"%d" % n), 1_000) for n in range(5)) + b"more"
    reader = Reader(batch(0, [], body=body, count=5, last_delta=4) + ten(5), 15)
    assert values(reader.everything()) == list(range(15))
    assert reader.skips == []


def test_a_record_beyond_its_batch_is_no_record() -> None:
    reader = Reader(batch(0, [Row(0, b"k", b"0"), Row(50, b"k", b"50")], last_delta=9) + ten(10), 20)
    assert values(reader.everything()) == [0, *range(10, 20)]
    assert reader.skipped == [(1, 10, "record")]


@pytest.mark.parametrize("length", [-1, 0, 13, 30, 1 << 30, -(1 << 31)])
def test_behind_a_length_that_lies_the_next_whole_batch_is_found(length: int) -> None:
    bad = ten(10)
    reader = Reader(ten(0) + bad[:8] + struct.pack(">i", length) + bad[12:] + ten(20) + ten(30), 40)
    reader.fetch()
    rest = reader.log[len(ten(0)) :]
    got = reader.fetch(rest)
    if reader.position < 40:
        got += reader.fetch(ten(20) + ten(30))
    assert values(got) == list(range(20, 40))
    assert sum(skip.stop - skip.start for skip in reader.skips) == 10
    assert {skip.start for skip in reader.skips} == {10}


@pytest.mark.parametrize("base", [0, 3, 12, 25, 35, 1 << 40, -7])
def test_an_offset_that_lies_harms_no_neighbour(base: int) -> None:
    """The first offset lies outside of what the checksum covers."""
    bad = struct.pack(">q", base) + ten(10)[8:]
    reader = Reader(ten(0) + bad + ten(20), 30)
    got = reader.fetch()
    while reader.position < 30:
        got += reader.fetch(bad + ten(20) if reader.position <= 20 else ten(20))
        assert reader.fetches < 20
    offsets = [record.offset for record in got]
    assert offsets == sorted(set(offsets))
    assert [r.offset for r in got if r.value in {b"%d" % n for n in (*range(10), *range(20, 30))}] == [
        *range(10),
        *range(20, 30),
    ]


def test_a_broker_may_begin_with_batches_that_lie_before_what_was_asked_for() -> None:
    for start in (15, 25):
        reader = Reader(ten(0) + ten(10) + ten(20), 30)
        reader.position = start
        assert values(reader.fetch(reader.log)) == list(range(start, 30))
        assert reader.skips == []


def test_a_length_that_ends_by_chance_where_a_later_batch_begins_does_not_hide_the_one_between() -> None:
    """Seed 143619 of the fuzz: first offset and length are outside of the checksum."""
    between = ten(20)
    bad = ten(10)[:90]
    bad = struct.pack(">qi", (1 << 27) + 10, len(bad) - 12 + len(between)) + bad[12:]
    reader = Reader(ten(0) + bad + between + ten(30), 40)
    got = reader.fetch()
    assert values(got) == [*range(10), *range(20, 40)]
    assert reader.skipped[0][:2] == (10, 20)


def test_two_unreadable_batches_are_two_skips() -> None:
    bad = [ten(n)[:70] + b"\xff\xff" + ten(n)[72:] for n in (10, 20)]
    reader = Reader(ten(0) + bad[0] + bad[1] + ten(30), 40)
    assert values(reader.everything()) == [*range(10), *range(30, 40)]
    assert reader.skipped == [(10, 20, "crc"), (20, 30, "crc")]


def test_from_within_an_unreadable_batch_the_rest_is_skipped() -> None:
    reader = Reader(damaged("flipped") + ten(20), 30)
    reader.position = 14
    assert values(reader.everything()) == list(range(20, 30))
    assert reader.skipped == [(14, 20, "crc")]


@pytest.mark.parametrize("reason", ["crc", "header"])
def test_an_unreadable_marker_does_not_abort_what_comes_behind_it(reason: str) -> None:
    mine = {"attributes": logs.TRANSACTIONAL, "producer": 7}
    end = marker(10, 7)
    end = end[:-1] + b"\xff" if reason == "crc" else bytes(17) + end[17:]
    log = ten(0, **mine) + end + ten(11, **mine) + marker(21, 7, 1)
    reader = Reader(log, 22)
    reader.aborted = [(7, 0, 10)]
    assert values(reader.everything()) == list(range(11, 21))
    assert reader.skipped == [(10, 11, reason)]


def test_a_log_that_has_grown_since_its_end_was_looked_up_is_read_with_the_next_fetch() -> None:
    reader = Reader(ten(0), 0)
    assert reader.fetch() == []
    reader.end = 10
    assert values(reader.fetch()) == list(range(10))
    assert reader.skips == []


@pytest.mark.parametrize(
    "broken",
    [
        message(3, None, b"no gzip", attributes=logs.GZIP),
        message(3, None, None, attributes=logs.GZIP),
        message(3, None, gzip.compress(b"\0" * 40), attributes=logs.GZIP),
        message(3, None, gzip.compress(bytes(8) + struct.pack(">i", -12) + bytes(30)), attributes=logs.GZIP),
        message(3, None, gzip.compress(bytes(64 << 20)), attributes=logs.GZIP),
        message(3, None, gzip.compress(message(0, b"", b"", attributes=logs.GZIP)), attributes=logs.GZIP),
        message(3, b"k", b"v", attributes=7),
        message(3, b"k", b"v")[:-1] + b"x",
    ],
)
def test_an_old_message_that_cannot_be_read_costs_what_lies_before_the_next(broken: bytes) -> None:
    reader = Reader(broken + ten(4), 14)
    assert values(reader.fetch(broken + ten(4))) == list(range(4, 14)) or values(reader.fetch()) == [*range(4, 14)]
    assert [(skip.start, skip.stop) for skip in reader.skips] == [(0, 4)]


def test_a_checksum_made_right_is_one() -> None:
    data = ten(0)
    assert sealed(data) == data
    assert sealed(data[:-1] + b"x") != data[:-1] + b"x"

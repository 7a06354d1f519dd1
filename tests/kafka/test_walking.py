"""The compiled walk over a batch's records beside the plain reader: the same records, an end at the same one."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.kafka.compiled.walking import FIELDS, LEAST_BYTES, walk_records
from streamrnn.kafka.reading.batches import MOST_HEADERS, Header, Unreadable, read_header, read_records, unpacked
from streamrnn.kafka.reading.record_chunk import BatchWalk, RecordChunk
from streamrnn.ticks import Record

from . import logs
from .logs import CODECS, Row, batch, record, sized, varint

LIMIT = 8 << 20
NUMBERS = (0, 1, -1, 2, 63, 64, 127, 128, 1 << 16, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))
KEYS = (b"", b"s1", "ж".encode(), b"\xff\x00", None, b"k" * 200)
NAMES = (b"", b"h", b"\xfe\xff", "ж".encode())
CONTENTS = (None, b"", b"v" * 9, b"w" * 300)


def plainly(
    header: Header, held: memoryview, number: int = 0, at: int = 0, low: int = -(1 << 63)
) -> tuple[list[Record], str | None]:
    """What the plain reader reads from a record on, and what it says of the rest; a crowded record ends it, too."""
    got: list[Record] = []
    try:
        for offset, time_ms, key, value, named in read_records(header, held, number, at):
            if named is None or offset > header.stop - 1:
                return got, "crowded or beyond"
            if offset >= low:
                low = offset + 1
                headers = [(name.decode("utf-8", "surrogateescape"), content) for name, content in named]
                got.append(Record(3, offset, time_ms, key, value, headers))
    except Unreadable as error:
        return got, str(error)
    return got, None


def walked(header: Header, held: memoryview, sizes: Iterable[int]) -> tuple[list[Record], BatchWalk, int]:
    """What the walk reads, in chunks of these sizes, where it ended and the offset after its last."""
    walk, low, got = BatchWalk(header, held), -(1 << 63), list[Record]()
    for size in sizes:
        chunk = RecordChunk(3, size)
        low = chunk.walk(walk, low, header.stop - 1)
        got += chunk.taken()
        if walk.is_over or not chunk.is_full:
            break
    return got, walk, low


def compare(data: bytes, sizes: tuple[int, ...] = (1 << 20,)) -> int:
    """Read a batch that is sound but for its records: by the plain reader alone, and as far as it goes by the walk.

    Both must come to the same. Returns how many records were walked.
    """
    header = read_header(memoryview(data))
    held = unpacked(header, memoryview(data), LIMIT)
    whole, why = plainly(header, held)
    got, walk, low = walked(header, held, [*sizes, 1 << 20])
    rest, still = plainly(header, held, walk.number, walk.at, low)
    assert (got + rest, still) == (whole, why)
    if walk.is_over:
        assert rest == []
    return len(got)


def odd_rows(rng: random.Random, count: int = 10) -> list[Row]:
    return [
        Row(
            n,
            rng.choice(KEYS),
            rng.choice((None, b"", b"1", b"v" * 150, b"\xff" * 3000)),
            [(rng.choice(NAMES), rng.choice(CONTENTS)) for _ in range(rng.choice((0, 0, 1, 3, 100)))],
            rng.choice((1_000, -1, 0, 253_402_300_799_999, (1 << 63) - 1, -(1 << 63))),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("attributes", [0, logs.APPEND_TIME, logs.TRANSACTIONAL])
@pytest.mark.parametrize("codec", CODECS.values())
def test_every_field_of_a_sound_batch_is_what_the_plain_reader_reads(codec: int, attributes: int) -> None:
    for seed in range(10):
        data = batch(1 << 40, odd_rows(random.Random(seed)), codec, attributes)
        assert compare(data) == compare(data, (1, 2, 3)) == 10
    assert compare(batch(5, [], codec, attributes, last_delta=9)) == 0


def test_a_record_of_megabytes_is_walked() -> None:
    assert compare(batch(0, [Row(0, b"k" * 70_000, b"v" * (6 << 20), [(b"h", b"c" * 70_000)]), Row(1)])) == 2


def of_fields(**other: bytes) -> bytes:
    """A record written field by field, one of them otherwise."""
    fields = {
        "attributes": b"\0", "time": varint(5), "delta": varint(1), "key": sized(b"k"), "value": sized(b"v"),
        "headers": varint(1) + sized(b"h") + sized(b"c"), "rest": b"",
    }  # fmt: skip
    body = b"".join((fields | other).values())
    return varint(len(body)) + body


LONG = {
    "zero in ten bytes": b"\x80" * 9 + b"\0",
    "wrapped": b"\x82" + b"\x80" * 8 + b"\x02",
    "five": b"\x82\x80\x80\x80\0",
}
ODD = {
    "negative key size": {"key": varint(-7)},
    "negative value size": {"value": varint(-(1 << 62))},
    "negative header value size": {"headers": varint(1) + sized(b"h") + varint(-9)},
    "header without a key": {"headers": varint(1) + varint(-1) + sized(b"c")},
    "negative header count": {"headers": varint(-1)},
    "more headers than there are": {"headers": varint(2) + sized(b"h") + sized(b"c")},
    "fewer headers than there are": {"headers": varint(0) + sized(b"h") + sized(b"c")},
    "key beyond the record": {"key": varint(50) + b"k"},
    "value beyond the record": {"value": varint((1 << 62) - 1) + b"v"},
    "bytes behind": {"rest": b"\0"},
    "no headers field": {"headers": b""},
    "offset beyond the batch": {"delta": varint(10)},
    "offset that wraps": {"delta": varint(1 << 62)},
    "offset before": {"delta": varint(-1)},
    "time that wraps": {"time": varint((1 << 63) - 1)},
    "eleven bytes": {"time": b"\x80" * 10 + b"\0"},
    "attributes in use": {"attributes": b"\x7f"},
    "most headers": {"headers": varint(MOST_HEADERS) + b"\0\1" * MOST_HEADERS},
    "too many headers": {"headers": varint(MOST_HEADERS + 1) + b"\0\1" * (MOST_HEADERS + 1)},
    **{f"{name} as time": {"time": number} for name, number in LONG.items()},
    **{f"{name} as header count": {"headers": number} for name, number in LONG.items()},
    **{f"{name} as key size": {"key": number + b"k"} for name, number in LONG.items()},
    **{f"{name} as name size": {"headers": varint(1) + number + sized(b"c")} for name, number in LONG.items()},
    **{f"{name} as content size": {"headers": varint(1) + sized(b"h") + number} for name, number in LONG.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_record_ends_the_walk_where_the_plain_reader_would_end_or_not_at_all(name: str) -> None:
    body = record(Row(0), 1_000) + of_fields(**ODD[name]) + record(Row(2), 1_000)
    compare(batch(1 << 62, [Row(0)], body=body, count=3, last_delta=9))
    compare(batch(1 << 62, [Row(0)], body=body, count=3, last_delta=9), (1,))


def test_headers_in_numbers_that_wrap_come_as_the_plain_reader_has_them() -> None:
    """What walks through is read by whoever knows headers alone, and does not wrap."""
    for number in (*LONG.values(), b"\x84\x80\0", b"\x82\x80\x80\x80\x80\x80\0"):
        for headers in (number + sized(b"h") + sized(b"c"), varint(1) + number + b"h" + sized(b"c")):
            compare(batch(0, [Row(0)], body=of_fields(headers=headers), count=1, last_delta=9))


def test_a_record_out_of_order_is_passed_over() -> None:
    rows = [Row(n, b"k", b"%d" % n) for n in (0, 3, 1, 4)]
    data = memoryview(batch(0, rows, last_delta=9))
    header = read_header(data)
    got, *_ = walked(header, unpacked(header, data, LIMIT), [10])
    assert [record.offset for record in got] == [0, 3, 4]


@pytest.mark.parametrize("low", [0, 4, 9, 10])
def test_what_lies_below_the_position_is_neither_given_nor_kept(low: int) -> None:
    data = memoryview(batch(0, [Row(n, b"k", b"v" * 1000) for n in range(10)]))
    header = read_header(data)
    walk, chunk = BatchWalk(header, unpacked(header, data, LIMIT)), RecordChunk(0, 2)
    after = chunk.walk(walk, low, 9)
    got = chunk.taken()
    assert got.offset.tolist() == list(range(10))[low:][:2]
    assert after == max(low, *got.offset.tolist(), -1) + (len(got) > 0)
    assert len(got.values.data) < 1100 * len(got) + 1


def test_a_chunk_keeps_no_batch_alive() -> None:
    data = memoryview(batch(0, [Row(n, b"k", b"v" * 100) for n in range(1000)]))
    header = read_header(data)
    walk, chunk = BatchWalk(header, unpacked(header, data, LIMIT)), RecordChunk(0, 1)
    chunk.walk(walk, 0, 999)
    got = chunk.taken()
    held = [got.keys.data, got.keys.starts.base if got.keys.starts.base is not None else got.keys.starts]
    assert sum(array.nbytes for array in held) < 400
    assert not np.shares_memory(got.keys.data, walk.held)


def test_a_chunk_keeps_the_order_of_what_both_readers_gave() -> None:
    chunk, expected = RecordChunk(3, 100), list[Record]()
    for base in range(0, 40, 10):
        data = memoryview(logs.ten(base))
        header = read_header(data)
        chunk.walk(BatchWalk(header, unpacked(header, data, LIMIT)), base, base + 9)
        expected += plainly(header, unpacked(header, data, LIMIT))[0]
        odd = Record(3, base, 5, None, b"odd", [("\udcff", None)])
        chunk.add(odd)
        expected.append(odd)
    assert not chunk.is_full
    assert chunk.taken() == expected
    assert chunk.taken() == []


def test_however_many_records_a_header_claims_rows_are_for_those_that_fit_in_its_bytes() -> None:
    data = memoryview(
        batch(0, [Row(n, None, None) for n in range(5)], count=(1 << 31) - 1, last_delta=(1 << 31) - 1)
    )
    header = read_header(data)
    walk, chunk = BatchWalk(header, unpacked(header, data, LIMIT)), RecordChunk(0, 1 << 30)
    chunk.walk(walk, 0, 1 << 31)
    assert (walk.number, walk.is_over, len(chunk.taken())) == (5, False, 5)
    assert len(record(Row(0, None, None), 1_000)) == LEAST_BYTES


# Made and mutated ones


ODD_ROWS = st.lists(
    st.builds(
        Row,
        st.integers(-2, 12),
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=60),
        st.lists(st.tuples(st.binary(max_size=6), st.none() | st.binary(max_size=6)), max_size=4),
        st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(ODD_ROWS, st.integers(-3, 2**62), st.sampled_from((1, 2, 5, 100)))
def test_whatever_a_producer_writes_is_walked(rows: list[Row], base: int, most: int) -> None:
    data = batch(base, rows, last_delta=9)
    assert compare(data, (most,) * 12) == len(plainly(read_header(memoryview(data)), memoryview(data)[61:])[0])


def wrong_number(rng: random.Random, held: bytearray) -> None:
    at = rng.randrange(len(held) + 1)
    held[at : at + rng.choice((0, 1, 1, 2))] = varint(rng.choice(NUMBERS))


def flip(rng: random.Random, held: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 3))):
        if held:
            held[rng.randrange(len(held))] ^= 1 << rng.randrange(8)


def cut(rng: random.Random, held: bytearray) -> None:
    del held[rng.randrange(len(held) + 1) :]


def noise(rng: random.Random, held: bytearray) -> None:
    at = rng.randrange(len(held) + 1)
    held[at : at + rng.randrange(20)] = rng.randbytes(rng.randrange(20))


def widen(rng: random.Random, held: bytearray) -> None:
    """A number in more bytes than it needs."""
    if held:
        at = rng.randrange(len(held))
        held[at : at + 1] = bytes([held[at] | 0x80, *b"\x80" * rng.randrange(9), rng.choice((0, 0, 1, 2, 0x7F))])


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (wrong_number, flip, cut, noise, widen)


def mutated(rng: random.Random) -> bytes:
    """A batch whose records are damaged, its checksum right."""
    first = 1_000
    held = bytearray(b"".join(record(row, first) for row in odd_rows(rng, 5)))
    for _ in range(rng.choice((1, 1, 2))):
        rng.choice(MUTATIONS)(rng, held)
    count = rng.choice((5, 5, 5, 4, 6, 0))
    return batch(rng.choice((0, 1 << 62)), [Row(0)], body=bytes(held), count=count, last_delta=9)


@settings(max_examples=1500, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((1, 2, 100)))
def test_damaged_records_end_both_readers_at_the_same_one(seed: int, most: int) -> None:
    rng = random.Random(seed)
    compare(mutated(rng), (most,) * 6)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 30))
def test_any_bytes_end_both_readers_at_the_same_record(body: bytes, count: int) -> None:
    compare(batch(0, [Row(0)], body=body, count=count, last_delta=29))


def test_the_walk_touches_no_byte_beyond_those_it_was_given(tmp_path: Path) -> None:
    """Numba's own checks of every index, in a process of its own, over all of these batches."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.kafka.test_walking"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "IndexError: seen" in done.stdout
    assert "2000 batches" in done.stdout


def over_all_with_checks() -> None:
    held = np.frombuffer(bytes(record(Row(0), 0)), np.uint8)
    try:  # a row that the rows have not: what shows that the checks are on
        walk_records(held, 0, 0, 1, 0, 0, 0, False, 0, 9, 9, np.empty((FIELDS, 0), np.int64), 0, 1, 0)
    except IndexError:
        print("IndexError: seen")
    rng = random.Random(1)
    for _ in range(2000):
        compare(mutated(rng), (rng.choice((1, 2, 100)),) * 6)
    for odd in ODD.values():
        compare(batch(0, [Row(0)], body=of_fields(**odd), count=1, last_delta=9))
    print("2000 batches")


if __name__ == "__main__":
    over_all_with_checks()

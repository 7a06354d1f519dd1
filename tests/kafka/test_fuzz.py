"""Batches that no producer writes, from bytes to columns: whatever they are, reading ends and neighbours stand.

STREAMRNN_FUZZ_S: seconds for the mutations (a few by default); STREAMRNN_FUZZ_SEED: where they begin.
"""

import json
import os
import random
import resource
import struct
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.codecs import dead_letter_record, make_decoder
from streamrnn.config import Settings
from streamrnn.kafka.internals.open_batch import OpenBatch
from streamrnn.kafka.reading.answer import Answer, Skip, Terms
from streamrnn.kafka.reading.batches import Unreadable, check, check_legacy, read_header, read_records, unpacked
from streamrnn.kafka.reading.unpacking import Unpacking
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import DeadLetter, OutColumns, Record

from . import logs
from .logs import CODECS, Row, batch, message, record, sealed, ten
from .test_unpacking import TP

SECONDS = float(os.environ.get("STREAMRNN_FUZZ_S", "5"))
SEED = int(os.environ.get("STREAMRNN_FUZZ_SEED", "0"))
LIMIT = 1 << 18
MOST_GROWTH_BYTES = 256 << 20
DECODER = make_decoder(ModelSpec(name="f", features=("x",), targets=("x",), channels=(Channel("x"),)), Settings())
NUMBERS = (0, 1, -1, 9, 10, 127, 128, 255, 1 << 16, (1 << 31) - 1, -(1 << 31), (1 << 63) - 1, -(1 << 63))
KEYS = (b"s1", b"s2", "ж".encode(), b"\xff\x00", b"", None)
VALUES = (b'{"time": 1700000000000, "x": 1.5}', b'{"x": -1e300}', b"{", b"", None, b"\xff" * 40, b'{"x": 2}')


class Log:
    """Segments of a log by their offsets, as a broker that knows them finds them; read to its end."""

    def __init__(self, *parts: tuple[int, int, bytes], aborted: list[tuple[int, int]] | None = None) -> None:
        self.parts, self.aborted, self.end = parts, aborted or [], parts[-1][1]
        self.skips: list[Skip] = []
        self._doubts: set[int] = set()

    def _skip(self, skip: Skip) -> bool:
        self.skips.append(skip)
        return True

    def _is_doubtful(self, tp: object, offset: int) -> bool:
        known = offset in self._doubts
        self._doubts.add(offset)
        return known

    def read(self, position: int = 0, most: int = 1 << 30) -> list[Record]:
        got: list[Record] = []
        self.skips.clear()
        self._doubts.clear()
        for _ in range(400):
            if position >= self.end:
                return got
            data = b"".join(part for _, stop, part in self.parts if max(stop, said(part)) > position)
            answer = Answer(data, self.end, self.aborted)
            unpacking = Unpacking(TP, position, answer, Terms(LIMIT, self._skip, self._is_doubtful))
            got += unpacking.take(most).tolist()
            position = unpacking.next_fetch_offset
        raise AssertionError(f"no end after {position} of {self.end}")


def said(data: bytes) -> int:
    """The offset after a batch as a broker that looks for an offset reads it: from the header, unchecked."""
    if len(data) < 27 or data[16] != 2:
        return 0
    return int(struct.unpack_from(">q", data)[0]) + int(struct.unpack_from(">i", data, 23)[0]) + 1


def rows(rng: random.Random) -> list[Row]:
    """Ten records, some of them odd."""
    return [
        Row(
            n,
            rng.choice(KEYS),
            rng.choice(VALUES),
            [(rng.choice((b"h", b"", b"\xfe\xff")), rng.choice((None, b"", b"v" * 9)))] * rng.choice((0, 0, 1, 3)),
            rng.choice((1_000, -1, 253_402_300_799_999)),
        )
        for n in range(10)
    ]


def sound(rng: random.Random) -> bytes:
    """Offsets 10 to 19, in some form."""
    if rng.random() < 0.1:
        inner = b"".join(message(n, rng.choice(KEYS), rng.choice(VALUES)) for n in range(10))
        return message(19, None, logs.packed(logs.GZIP, inner), attributes=logs.GZIP)
    attributes = rng.choice((0, 0, logs.APPEND_TIME, logs.TRANSACTIONAL))
    return batch(10, rows(rng), rng.choice(list(CODECS.values())), attributes, producer=rng.choice((-1, 7)))


def flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]
    if len(data) >= 12 and rng.random() < 0.7:
        struct.pack_into(">i", data, 8, len(data) - 12)


def splice(rng: random.Random, data: bytearray) -> None:
    at, other = rng.randrange(len(data)), sound(rng)
    begin = rng.randrange(len(other))
    data[at : at + rng.choice((0, 8, 40))] = other[begin : begin + rng.choice((1, 8, 40, 400))]
    if len(data) >= 12 and rng.random() < 0.7:
        struct.pack_into(">i", data, 8, len(data) - 12)


def lie(rng: random.Random, data: bytearray) -> None:
    """A number of the header."""
    at, size = rng.choice(((0, 8), (8, 4), (16, 1), (21, 2), (23, 4), (27, 8), (35, 8), (43, 8), (57, 4)))
    if len(data) >= at + size:
        number = rng.choice(NUMBERS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, "big")


def within(rng: random.Random, data: bytearray) -> None:
    """A number of a record, in a batch made anew, so that compression and checksum are right."""
    held = b"".join(record(row, 1_000) for row in rows(rng))
    at, number = rng.randrange(len(held)), logs.varint(rng.choice(NUMBERS))
    held = held[:at] + number + held[at + rng.choice((0, 1, len(number))) :]
    codec = rng.choice(list(CODECS.values()))
    data[:] = batch(10, rows(rng), codec, body=logs.packed(codec, held))


def bloat(rng: random.Random, data: bytearray) -> None:
    """More than the limit in few bytes."""
    codec = rng.choice((logs.GZIP, logs.SNAPPY, logs.LZ4, logs.ZSTD))
    data[:] = batch(10, rows(rng), codec, body=logs.packed(codec, bytes(rng.choice((LIMIT, 8 * LIMIT)))))


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (flip, flip, cut, splice, lie, within, bloat)


def mutated(rng: random.Random) -> bytes:
    data = bytearray(sound(rng))
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(MUTATIONS)(rng, data)
        if not data:
            break
    is_mended = len(data) > 61 and rng.random() < 0.5
    return sealed(bytes(data)) if is_mended else bytes(data)


def claimed(data: bytes) -> int:
    """The offset after the mutated batch where all that its checksum covers is right, else after the sound one."""
    view = memoryview(data)
    try:
        if len(data) < 17 or struct.unpack_from(">i", data, 8)[0] != len(data) - 12:
            return 20
        if data[16] < 2:
            check_legacy(view)
            return max(20, int(struct.unpack_from(">q", data)[0]) + 1)
        header = read_header(view)
        check(header, view)
        return max(20, header.stop) if header.magic == 2 and header.base <= 10 else 20
    except Unreadable:
        return 20


def is_where_it_was(data: bytes) -> bool:
    """Whether the first offset is, which no checksum covers: a broker finds such a batch from other offsets too."""
    return data[:8] == (10).to_bytes(8, "big") or data[:8] == (19).to_bytes(8, "big")


NEIGHBOURS = [n for n in range(40) if not 10 <= n < 20]


def weigh(data: bytes, rng: random.Random) -> Counter[str]:
    """Read a log with these bytes in the place of its second batch; what came of it."""
    codec = rng.choice(list(CODECS.values()))
    parts = (0, 10, ten(0, codec)), (10, 20, data), (20, 30, ten(20, codec)), (30, 40, ten(30))
    log = Log(*parts, aborted=rng.choice(([], [(7, 10)])))
    got = log.read()
    skips = [(skip.start, skip.stop) for skip in log.skips]
    offsets = [r.offset for r in got]
    assert offsets == sorted(set(offsets) & set(range(log.end)))
    after = claimed(data)
    assert [r.offset for r in got if not 10 <= r.offset < after] == [n for n in NEIGHBOURS if n < 10 or n >= after]
    assert all(r.value == b"%d" % r.offset for r in got if not 10 <= r.offset < after)
    assert all(10 <= start < stop <= max(20, after) for start, stop in skips), skips
    assert not set(offsets) & {n for start, stop in skips for n in range(start, stop)}
    if is_where_it_was(data):
        assert log.read(most=rng.choice((1, 3, 7))) == got
        at = rng.choice(offsets) + 1
        assert log.read(at) == [r for r in got if r.offset >= at]
    columns(got)
    return Counter({skip.reason for skip in log.skips} or {"read"})


def columns(got: list[Record]) -> None:
    ticks, dead = DECODER.decode(got)
    assert len(ticks) + len(dead) == len(got)
    written = OpenBatch(1 << 20, 0, False)
    letters = [dead_letter_record(letter, TP.topic, "f@1") for letter in dead]
    if letters and any(r.headers for r in letters):
        odd = next((letter for letter in letters if has_odd_key(letter.headers)), letters[0])
        written.take(OutColumns.of([odd]))
        data = memoryview(bytes(written._build()))
        header = read_header(data)
        check(header, data)
        (back,) = read_records(header, unpacked(header, data, LIMIT))
        assert [(k.decode("utf-8", "surrogateescape"), v) for k, v in back.headers] == list(odd.headers)


def has_odd_key(headers: object) -> bool:
    return any(not key.isascii() for key, _ in headers)  # type: ignore[attr-defined]


def resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.timeout(SECONDS + 120)
def test_mutated_batches_cost_what_they_hold_and_nothing_else() -> None:
    until_s, seen, seed, before = time.monotonic() + SECONDS, Counter[str](), SEED, resident_bytes()
    while time.monotonic() < until_s:
        rng = random.Random(seed)
        data = mutated(rng)
        started = time.monotonic()
        try:
            seen += weigh(data, rng)
        except BaseException as error:
            error.add_note(f"seed {seed}: {data.hex()[:4000]}")
            raise
        assert time.monotonic() - started < 10, f"seed {seed} took that long"
        seed += 1
    assert resident_bytes() - before < MOST_GROWTH_BYTES
    print(json.dumps({"executions": seed - SEED, "ended as": seen}))
    assert seed - SEED > 50
    assert {"read", "crc", "record", "compression", "header"} <= set(seen)


ODD_ROWS = st.lists(
    st.builds(
        Row,
        st.just(0),
        st.none() | st.binary(max_size=20),
        st.none() | st.binary(max_size=60),
        st.lists(st.tuples(st.binary(max_size=6), st.none() | st.binary(max_size=6)), max_size=4),
        st.integers(-(2**62), 2**62),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(ODD_ROWS, st.sampled_from(list(CODECS.values())), st.integers(0, 5))
def test_whatever_a_producer_puts_into_a_record_comes_as_it_is(odd: list[Row], codec: int, step: int) -> None:
    written = [row._replace(delta=n * (step + 1)) for n, row in enumerate(odd)]
    last = written[-1].delta + step
    log = Log((0, last + 1, batch(0, written, codec, last_delta=last)), (last + 1, last + 11, ten(last + 1)))
    got = log.read()
    assert log.skips == []
    keys = [[(key.encode("utf-8", "surrogateescape"), value) for key, value in r.headers] for r in got]
    assert [(r.offset, r.timestamp_ms, r.key, r.value) for r in got[:-10]] == [
        (row.delta, row.time_ms, row.key, row.value) for row in written
    ]
    assert keys[:-10] == [list(row.headers) for row in written]
    columns(got)
    letters = [dead_letter_record(DeadLetter(r, "decode", "x", ""), TP.topic, "f@1") for r in got]
    assert [list(letter.headers)[: len(r.headers)] for letter, r in zip(letters, got, strict=True)] == [
        list(r.headers) for r in got
    ]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 50))
def test_any_bytes_come_to_an_end(data: bytes, start: int) -> None:
    log = Log((0, 60, data or b"\0"))
    got = log.read(start)
    assert all(start <= r.offset < 60 for r in got)
    assert log.skips[-1].stop == 60 if log.skips else got

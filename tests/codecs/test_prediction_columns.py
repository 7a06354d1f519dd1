"""Records written in columns by compiled loops are those of the slow twin, byte for byte."""

import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamrnn.codecs import Encoder
from streamrnn.config.input import KeyKind
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import ORIGINS, Errors, OutColumns, PredictionBatch, Spans, TickBatch
from tests.codecs.prediction_twin import records_of

INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() or "\n" in text)
KEYS: dict[KeyKind, st.SearchStrategy[bytes]] = {
    "text": st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(str.encode),
    "int64": st.binary(min_size=8, max_size=8),
    "int32": st.binary(min_size=4, max_size=4),
    "uuid": st.uuids().map(lambda found: found.bytes),
    "bytes": st.binary(min_size=1, max_size=40),
}
CODECS = st.sampled_from(("json", "msgpack", "float32"))


def model(targets: list[str], horizons: list[int], quantiles: list[float], precision: str) -> ModelSpec:
    return ModelSpec(
        name="oil \N{DEGREE SIGN}",
        version=7,
        features=tuple(targets),
        targets=tuple(targets),
        channels=(Channel(targets[0]),),
        horizons=tuple(sorted(horizons)),
        quantiles=tuple(sorted(quantiles)),
        precision=precision,  # type: ignore[arg-type]
    )


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    return model(
        draw(st.lists(NAMES, min_size=1, max_size=3, unique=True) | st.just([f"t{n}" for n in range(20)])),
        draw(st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True)),
        draw(st.sampled_from(([], [0.5], [0.1, 0.9], [0.05, 0.5, 0.95]))),
        draw(st.sampled_from(("float32", "float64"))),
    )


def numbers(shape: tuple[int, ...], precision: str) -> st.SearchStrategy[Any]:
    """Any bits, and numbers of few digits."""
    kind = np.dtype(precision)
    bits = arrays(f"u{kind.itemsize}", shape).map(lambda drawn: drawn.view(kind))
    short = st.integers(-99_999, 99_999).map(lambda n: float(kind.type(n / 100)))
    return bits | arrays(kind, shape, elements=short)


def scattered(strings: list[bytes]) -> Spans:
    """As they lie in a fetched batch: in another order, with other bytes between."""
    held = Spans.of([b"\xff", *reversed(strings), b"\xff"])
    return held.take(np.arange(len(strings), 0, -1))


@st.composite
def batches(draw: st.DrawFn, spec: ModelSpec, kind: KeyKind) -> PredictionBatch:
    n, targets = draw(st.integers(0, 6)), len(spec.targets)

    def whole(low: int, high: int, dtype: str) -> Any:
        return np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), dtype)

    streams = draw(st.lists(KEYS[kind], min_size=n, max_size=n))
    ticks = TickBatch(
        partition=whole(0, 2**31 - 1, "i4"),
        offset=whole(0, 2**62, "i8"),
        time_ms=whole(-(2**63), 2**63 - 1, "i8"),
        arrival_ms=whole(-1, 2**62, "i8"),
        streams=draw(st.sampled_from((list, scattered)))(streams),
        values=np.zeros((n, targets), spec.precision),
        order=np.zeros(n, np.int64),
        index=draw(st.none() | st.just(whole(-1, 2**20, "i4"))),
    )
    residual = draw(numbers((n, targets), spec.precision))
    hidden = draw(arrays(np.bool_, (n, targets)))
    return PredictionBatch(
        ticks,
        draw(numbers((n, len(spec.horizons), targets, spec.levels), spec.precision)),
        np.where(hidden, residual.dtype.type(np.nan), residual),
        steps=whole(0, 2**63 - 1, "i8"),
        origin=whole(0, len(ORIGINS) - 1, "u1"),
        status=draw(st.just(np.zeros(n, np.uint8)) | st.just(whole(0, 1, "u1"))),
        errors=Errors(*[np.zeros((1, targets))] * 6),
    )


def assert_as_the_twin_says(spec: ModelSpec, codec: Any, kind: KeyKind, said: PredictionBatch) -> None:
    written = Encoder(spec, codec, kind).encode(said)
    assert isinstance(written, OutColumns)
    assert written.tolist() == records_of(spec, codec, kind, said)


@settings(max_examples=300, deadline=None)
@given(st.data(), CODECS, models(), st.sampled_from(list(KEYS)))
def test_columns_hold_what_the_twin_says(data: st.DataObject, codec: str, spec: ModelSpec, kind: KeyKind) -> None:
    assert_as_the_twin_says(spec, codec, kind, data.draw(batches(spec, kind)))


def of_offsets(offsets: list[int], streams: list[bytes]) -> PredictionBatch:
    n = len(offsets)
    at, zeros = np.array(offsets, np.int64), np.zeros((n, 1), np.float32)
    ticks = TickBatch(np.zeros(n, np.int32), at, -at - 1, at.copy(), streams, zeros, at)
    said = zeros.reshape(n, 1, 1, 1)
    return PredictionBatch(
        ticks, said, zeros.copy(), at.copy(), np.zeros(n, np.uint8), np.zeros(n, np.uint8), Errors(*[zeros] * 6)
    )


ONE = model(["a"], [1], [], "float32")


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_whole_numbers_have_all_their_digits_at_every_power_of_ten(codec: str) -> None:
    near = {10**n + d for n in range(19) for d in (-1, 0, 1)} | {2**63 - 1, 2**53 + 1, 0, 99, 100}
    offsets = sorted(near)
    assert_as_the_twin_says(ONE, codec, "text", of_offsets(offsets, [b"s"] * len(offsets)))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_every_character_of_a_stream_is_written_as_the_twin_writes_it(codec: str) -> None:
    names = [chr(n).encode() for n in range(0x100)] + [b'a"b', ('x"' * 512).encode(), b"\x00" * 1024]
    assert_as_the_twin_says(ONE, codec, "text", of_offsets(list(range(len(names))), names))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("size", [1, 15, 16, 31, 32, 127, 128, 255, 256, 1023, 1024])
def test_a_stream_of_any_length_is_written_as_the_twin_writes_it(codec: str, size: int) -> None:
    assert_as_the_twin_says(ONE, codec, "text", of_offsets([1, 2], [b"x" * size, b"y"]))
    assert_as_the_twin_says(ONE, codec, "bytes", of_offsets([1, 2], [bytes(range(256)) * 4, b"\x80" * size]))


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_the_ends_of_integer_keys_and_a_uuid_are_shown(codec: str) -> None:
    ends = [bytes(8), b"\x80" + bytes(7), b"\x7f" + b"\xff" * 7, b"\xff" * 8]
    assert_as_the_twin_says(ONE, codec, "int64", of_offsets([1, 2, 3, 4], ends))
    assert_as_the_twin_says(ONE, codec, "int32", of_offsets([1, 2, 3, 4], [end[:4] for end in ends]))
    assert_as_the_twin_says(ONE, codec, "uuid", of_offsets([1], [uuid.UUID(int=2**127 + 12345).bytes]))


def test_the_room_for_a_batch_is_enough_where_everything_is_at_its_longest() -> None:
    """Into a buffer that is too short a loop would write over what lies behind it."""
    n, longest = 50, -(2**63)
    said = of_offsets([0] * n, [b"\x01" * 1024] * n)
    said.ticks.time_ms[:], said.ticks.offset[:], said.steps[:] = longest, 2**63 - 1, longest
    said.ticks.partition[:] = -(2**31)
    said.values[:] = said.residual[:] = np.float32(-1.1754944e-38)
    for codec in ("json", "msgpack"):
        encoder = Encoder(ONE, codec)  # type: ignore[arg-type]
        written = encoder.encode(said)
        for spans in (written.values, written.headers):
            assert spans.starts[-1] + spans.sizes[-1] == len(spans.data), "cut off where the buffer ends"
        assert written.tolist() == records_of(ONE, codec, "text", said)

"""A feature whose steps float32 does not hold is said once, with a step that is lost; nobody else is."""

import json
import logging

import msgspec
import pytest

from streamrnn.codecs.decode import Decoder
from streamrnn.config import Settings
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record
from streamrnn.worker import too_fine
from streamrnn.worker.too_fine import AGAIN_S, ENOUGH_STEPS, MOST_BATCHES, TooFine

from .conftest import MakeWorld, tick

SPEC = ModelSpec(name="m", features=("wh", "load"), targets=("wh",), channels=(Channel("wh"),))


def batch(first: int, count: int, streams: int = 3, base: float = 987_654_324.0) -> list[Record]:
    """Ticks of streams in turn: wh counts by six, load is coarse."""
    said = [(n, {"wh": base + 6 * n, "load": n % 7 + 0.5}) for n in range(first, first + count)]
    return [Record(0, n, 0, b"s%d" % (n % streams), json.dumps(value).encode()) for n, value in said]


def watching(spec: ModelSpec = SPEC, codec: str = "json") -> tuple[TooFine, list[float]]:
    now = [0.0]
    return TooFine(spec, Settings(input={"topic": "in", "codec": codec}), lambda: now[0]), now  # type: ignore[arg-type]


def test_a_fine_feature_is_said_once_with_a_step_that_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    watch, now = watching()
    watch.note(batch(0, ENOUGH_STEPS))
    assert caplog.messages == [], "the first tick of a stream is no step"
    watch.note(batch(ENOUGH_STEPS, 3))
    assert caplog.messages == [
        "wh steps finer than the float32 of this model tells: "
        "987654324 to 987654342 is 987654336 to 987654336 for it. Retrain: the next one takes float64"
    ]
    for hour in (1, 2):
        now[0] = AGAIN_S * hour
        watch.note(batch(0, 2 * ENOUGH_STEPS))
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("base", [0.0, 21.5, 100_000.0])
def test_what_float32_holds_is_not_said(caplog: pytest.LogCaptureFixture, base: float) -> None:
    watch, _ = watching()
    watch.note(batch(0, 5 * ENOUGH_STEPS, base=base))
    assert caplog.messages == []


def test_steps_between_streams_and_missing_or_refused_values_are_none(caplog: pytest.LogCaptureFixture) -> None:
    watch, now = watching()
    still = [
        record._replace(value=b'{"wh":%d,"load":1}' % (987_654_324 + 1001 * (n % 3)))
        for n, record in enumerate(batch(0, 2 * ENOUGH_STEPS))
    ]
    watch.note(still)
    now[0] = AGAIN_S
    watch.note([r._replace(value=b'{"load":1}' if n % 2 else b"no") for n, r in enumerate(batch(0, 600))])
    assert caplog.messages == []


DOUBLE = msgspec.structs.replace(SPEC, precision="float64")


@pytest.mark.parametrize(("spec", "codec"), [(DOUBLE, "json"), (SPEC, "float32")])
def test_a_model_or_a_codec_for_which_nothing_is_too_fine_looks_at_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, codec: str
) -> None:
    watch, _ = watching(spec, codec)
    monkeypatch.delattr(Decoder, "decode")
    watch.note(batch(0, 2 * ENOUGH_STEPS))
    assert caplog.messages == []


def test_few_batches_are_looked_at_and_few_streams_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    decode = Decoder.decode
    monkeypatch.setattr(
        Decoder, "decode", lambda self, records: (seen.append(len(records)), decode(self, records))[1]
    )
    watch, now = watching()
    seen.clear()  # a decoder reads a record of its own when it is made
    for n in range(MOST_BATCHES + 5):
        watch.note(batch(20 * n, 20, streams=10**9))
        assert len(watch._rows) <= too_fine.MOST_STREAMS
    assert len(seen) == MOST_BATCHES, "no stream ticked twice: given up for an hour"
    now[0] = AGAIN_S
    watch.note(batch(0, ENOUGH_STEPS + 3))
    watch.note(batch(0, ENOUGH_STEPS + 3))
    assert len(seen) == MOST_BATCHES + 1


async def test_a_worker_says_it_of_what_it_serves(world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    records = [tick(0, n, 987_654_324.0 + n, b"s") for n in range(ENOUGH_STEPS + 50)]
    w = world({0: records}, poll=len(records))
    with caplog.at_level(logging.WARNING):
        async with w.serving():
            await w.until(lambda: w.source.offsets == {0: len(records)})
    assert [m for m in caplog.messages if m.startswith("x steps finer than the float32 of this model tells")]

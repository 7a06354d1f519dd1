"""Real data in, every prediction equal to an offline scan of the same model over the same file."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
import torch
from bokeh_sampledata import __file__ as sample_data

from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.kafka.writing.appending import Appender
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.service import Service
from streamrnn.ticks import OutRecord, TickBatch
from tests.kafka.reading_back import read_range

from .conftest import SettingsFactory

SPEC = ModelSpec(
    name="stocks",
    features=("close", "volume"),
    targets=("close",),
    channels=(Channel("close", "log_return"), Channel("volume", "level")),
    time_features=("weekday",),
    hidden=32,
    horizons=(1, 5),
)
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
PARTITIONS = 2


def make_model() -> Model:
    torch.manual_seed(3)
    model = Model(SPEC)
    model.set_stats(channel_mean=[0, 2e7], channel_std=[0.02, 2e7], target_std=[[5.0], [10.0]])
    torch.nn.init.normal_(model.head.weight, std=0.2)
    return model


def stock_ticks(count: int) -> list[tuple[str, int, float, float]]:
    """(symbol, time in ms, close, volume), days interleaved over the symbols as a feed would."""
    table = pyarrow.csv.read_csv(Path(sample_data).parent / "_data" / "stocks.csv.gz")
    times = table["Date"].cast("timestamp[ms]").cast("int64").to_pylist()
    rows = list(zip(*(table[n].to_pylist() for n in ("Ticker", "Close", "Volume")), times, strict=True))
    columns = {symbol: [(t, c, v) for s, c, v, t in rows if s == symbol][-count:] for symbol in SYMBOLS}
    return [(s, *columns[s][day]) for day in range(count) for s in SYMBOLS]


def partition_of(symbol: str) -> int:
    return SYMBOLS.index(symbol) % PARTITIONS


def as_records(ticks: list[tuple[str, int, float, float]]) -> list[OutRecord]:
    return [
        OutRecord(
            partition_of(symbol),
            1_700_000_000_000 + n,
            symbol.encode(),
            json.dumps({"time": time, "close": close, "volume": volume}).encode(),
        )
        for n, (symbol, time, close, volume) in enumerate(ticks)
    ]


def offline(model: Model, ticks: list[tuple[str, int, float, float]]) -> dict[str, np.ndarray]:
    """The oracle: each stream alone through an engine of its own, one tick after the other."""
    said = {}
    for symbol in SYMBOLS:
        engine = Engine(model, max_streams=1)
        mine = [tick for tick in ticks if tick[0] == symbol]
        rows = [engine.step(one_tick(number, *tick)) for number, tick in enumerate(mine)]
        said[symbol] = np.concatenate([row.values[:, :, 0, 0] for row in rows])
    return said


def scanned(model: Model, ticks: list[tuple[str, int, float, float]], symbol: str) -> np.ndarray:
    """The oracle's own twin: the model's equations in torch, which round otherwise."""
    state, rows = model.state(1), []
    with torch.inference_mode():
        for _, time, close, volume in (t for t in ticks if t[0] == symbol):
            step = model.step(torch.tensor([[close, volume]]), torch.tensor([time]), state)
            state = step.state
            rows.append(step.values[0, :, 0, 0].numpy())
    return np.stack(rows)


def one_tick(number: int, symbol: str, time: int, close: float, volume: float) -> TickBatch:
    times, values = np.array([time]), np.array([[close, volume]], dtype=np.float32)
    return TickBatch(np.zeros(1, np.int32), np.array([number]), times, times, [symbol.encode()], values, times)


async def publish(settings: Settings, records: list[OutRecord]) -> None:
    appender = Appender(settings)
    await appender.start()
    await appender.append(settings.input.topic, records)
    await appender.stop()


@asynccontextmanager
async def served(settings: Settings, model: Model):
    """A running service; leaving stops it and checks that it ended in order."""
    stop = asyncio.Event()
    service = Service(settings, model)
    running = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)


async def until(happened, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.02)


async def predictions(settings: Settings, counts: dict[int, int]) -> list[dict]:
    """All predictions in the log, partition by partition."""
    out = settings.model_copy(update={"input": settings.input.model_copy(update={"topic": settings.output.topic})})
    found = []
    for partition, count in counts.items():
        async for records in read_range(out, partition, 0, count, 1000):
            found += [json.loads(r.value) | {"key": r.key, "headers": dict(r.headers)} for r in records]
    return found


def per_partition(ticks) -> dict[int, int]:
    return {p: sum(partition_of(t[0]) == p for t in ticks) for p in range(PARTITIONS)}


def by_stream(found: list[dict]) -> dict[str, np.ndarray]:
    said = {symbol: [f["prediction"]["close"] for f in found if f["stream"] == symbol] for symbol in SYMBOLS}
    return {symbol: np.array(rows, dtype=np.float32) for symbol, rows in said.items()}


def ticks_done(service: Service) -> float:
    return service.metrics.glance()["ticks"]


@pytest.fixture
async def ready_settings(settings: SettingsFactory) -> Settings:
    made = await settings(partitions=PARTITIONS)
    return made.model_copy(update={"http": made.http.model_copy(update={"port": 0})})


async def test_every_prediction_equals_an_offline_scan_per_stream_in_order(ready_settings: Settings) -> None:
    ticks, model = stock_ticks(150), make_model()
    await publish(ready_settings, as_records(ticks))
    async with served(ready_settings, model) as service:
        await until(lambda: ticks_done(service) >= len(ticks))
        assert service.ready() == (True, "ok")
    found = await predictions(ready_settings, per_partition(ticks))
    assert len(found) == len(ticks)
    expected = offline(make_model(), ticks)
    for symbol, said in by_stream(found).items():
        assert said.tobytes() == expected[symbol].tobytes()
        np.testing.assert_allclose(said, scanned(make_model(), ticks, symbol), rtol=1e-4)
    for partition in range(PARTITIONS):
        mine = [f["headers"] for f in found if f["headers"]["src-partition"] == b"%d" % partition]
        offsets = [int(headers["src-offset"]) for headers in mine]
        assert offsets == list(range(len(offsets)))
    assert {f["key"].decode() == f["stream"] for f in found} == {True}
    assert {f["model"] for f in found} == {"stocks@1"}


async def test_a_restart_goes_on_with_the_same_bits_when_the_warm_up_reaches_back_far_enough(
    ready_settings: Settings,
) -> None:
    ticks = stock_ticks(60)
    half = len(ticks) // 2
    for part in (ticks[:half], ticks[half:]):
        await publish(ready_settings, as_records(part))
        async with served(ready_settings, make_model()) as service:
            await until(lambda service=service: ticks_done(service) >= half)
    found = await predictions(ready_settings, per_partition(ticks))
    assert len(found) == len(ticks)
    expected = offline(make_model(), ticks)
    for symbol, said in by_stream(found).items():
        assert said.tobytes() == expected[symbol].tobytes()
    assert {f["state"]["origin"] for f in found} == {"new", "carried", "warmed"}


async def test_bad_records_cost_themselves_and_go_to_the_dead_letters(ready_settings: Settings) -> None:
    ticks = stock_ticks(10)
    good = as_records(ticks)
    bad = [
        OutRecord(0, 1_700_000_000_000, b"IBM", None),
        OutRecord(0, 1_700_000_000_000, b"IBM", b"not json"),
        OutRecord(0, 1_700_000_000_000, b"\xff\xfe", good[0].value),
        OutRecord(0, 1_700_000_000_000, None, good[0].value),
        OutRecord(0, 1_700_000_000_000, b"IBM", b'{"close": "12"}'),
        OutRecord(0, 1_700_000_000_000, b"IBM", b'{"close": 1e300}'),
        OutRecord(0, 1_700_000_000_000, b"IBM", b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    ]
    mixed = [*good[:20], *bad, *good[20:]]
    await publish(ready_settings, mixed)
    async with served(ready_settings, make_model()) as service:
        await until(lambda: ticks_done(service) >= len(ticks))
        await until(lambda: service.metrics.glance()["dead_letters"] >= len(bad))
    expected = offline(make_model(), ticks)
    for symbol, said in by_stream(await predictions(ready_settings, per_partition(ticks))).items():
        assert said.tobytes() == expected[symbol].tobytes()
    letters = ready_settings.model_copy(
        update={"input": ready_settings.input.model_copy(update={"topic": ready_settings.dead_letter_topic})}
    )
    found = [r async for records in read_range(letters, 0, 0, len(bad), 100) for r in records]
    assert [(r.key, r.value) for r in found] == [(r.key, r.value) for r in bad]
    codes = [dict(r.headers)["__streamrnn.errors.code"].decode() for r in found]
    assert codes == ["null", "undecodable", "bad_key", "missing_key", "bad_type", "not_finite", "too_deep"]


async def test_inspection_over_http_shows_a_stream_and_metrics_name_no_stream(ready_settings: Settings) -> None:
    ticks = stock_ticks(20)
    await publish(ready_settings, as_records(ticks))
    async with served(ready_settings, make_model()) as service:
        await until(lambda: ticks_done(service) >= len(ticks))
        view = await service.stream("IBM", None)
        assert view is not None
        assert view["steps"] == 20
        assert view["last_values"]["close"] == pytest.approx([t for t in ticks if t[0] == "IBM"][-1][2])
        text = service.metrics.text().decode()
    assert "streamrnn_ticks_total 100.0" in text
    assert "IBM" not in text

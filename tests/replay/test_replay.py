"""`streamrnn replay`: pacing under a fake clock, encoding against json.dumps, and a file through a real broker."""

import asyncio
import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka.partitioner import murmur2 as aiokafkas_murmur2
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from streamrnn.cli import main
from streamrnn.codecs import Decoder
from streamrnn.config import InputSettings, Settings
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.errors import BrokerUnavailable, DataError
from streamrnn.kafka.admin import create_topic, partition_count
from streamrnn.kafka.writing.partitioner import default_partition
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.replay.encoding import EncodedTicks, Places, TickEncoder, chunks
from streamrnn.replay.pacing import Pacer
from streamrnn.replay.sender import Stopped, TickSender
from streamrnn.replay.watch import Watch
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import TableBatch, read_table
from streamrnn.ticks import OutRecord, Record
from tests.kafka.reading_back import read_range

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PROGRAM = [sys.executable, "-c", "import sys; from streamrnn.cli import main; sys.exit(main())"]
T0 = 1_467_331_200_000
FEATURES = ("te%mp", "löad")
SPEC = ModelSpec(name="t", features=FEATURES, targets=FEATURES[:1], channels=(Channel(FEATURES[0]),))


class Clock:
    """Time that passes only while somebody sleeps, and `late_s` more."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now_s, self.late_s, self.sleeps = 1000.0, late_s, 0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps += 1
        self.now_s += seconds + self.late_s


async def sent_at(
    clock: Clock, chunked_ms: list[list[int]], speed: float, max_gap_s: float | None = None
) -> list[float]:
    """When each tick goes out, seconds after the start."""
    pacer, times = Pacer(speed, max_gap_s, clock.sleep, clock), []
    for time_ms in chunked_ms:
        last = 0
        async for start, stop in pacer.bundles(np.array(time_ms)):
            assert start == last < stop
            times += [clock.now_s - 1000.0] * (stop - start)
            last = stop
        assert last == len(time_ms)
    return times


@pytest.mark.parametrize(
    ("speed", "took"), [(1.0, [0, 1, 2, 60]), (60.0, [0, 1 / 60, 2 / 60, 1]), (0.5, [0, 2, 4, 120])]
)
async def test_ticks_go_out_in_recorded_time_divided_by_speed(speed: float, took: list[float]) -> None:
    for chunked in ([[T0, T0 + 1000, T0 + 2000, T0 + 60_000]], [[T0, T0 + 1000], [T0 + 2000], [T0 + 60_000]]):
        assert await sent_at(Clock(), chunked, speed) == pytest.approx(took, abs=1e-6)


async def test_equal_and_earlier_times_are_not_waited_for() -> None:
    late = [[T0, T0, T0 + 2000, T0 + 1000, T0 - 86_400_000], [T0 + 1500, T0 + 3000]]
    assert await sent_at(Clock(), late, 1) == pytest.approx([0, 0, 2, 2, 2, 2, 3], abs=0.0051)


async def test_a_long_gap_is_cut_and_what_follows_keeps_its_distances() -> None:
    gaps = [[T0, T0 + 1000, T0 + 3_600_000, T0 + 3_601_000]]
    assert await sent_at(Clock(), gaps, 1, max_gap_s=10) == pytest.approx([0, 1, 11, 12])
    assert await sent_at(Clock(), gaps, 1000, max_gap_s=10) == pytest.approx([0, 0.001, 3.6, 3.601], abs=0.006)


async def test_lateness_does_not_add_up() -> None:
    clock = Clock(late_s=0.003)
    times = await sent_at(clock, [[T0 + 1000 * i for i in range(500)]], 10)
    assert times == pytest.approx([0.1 * i for i in range(500)], abs=0.0031)


async def test_dense_ticks_go_in_bundles_of_5_ms_at_least() -> None:
    clock = Clock()
    times = await sent_at(clock, [[T0 + i for i in range(a, a + 5000)] for a in range(0, 20_000, 5000)], 10)
    assert clock.sleeps <= 401
    assert np.diff(sorted(set(times))).min() > 0.0049
    due = np.arange(20_000) / 10_000
    assert (np.array(times) >= due - 1e-6).all()
    assert (np.array(times) <= due + 0.0051).all()


async def test_at_speed_0_nothing_waits() -> None:
    clock = Clock()
    assert await sent_at(clock, [[T0, T0 + 10**9], [T0]], 0) == [0, 0, 0]
    assert clock.sleeps == 0


def test_a_key_goes_where_kafkas_own_clients_send_it() -> None:
    """Values of org.apache.kafka.common.utils.UtilsTest.testMurmur2, there as signed numbers."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"abc": 479470107,
    }
    for partitions in (1, 3, 100, 2**31):
        expected = {key: (number & 0x7FFFFFFF) % partitions for key, number in known.items()}
        assert {key: default_partition(key, partitions) for key in known} == expected


numbers = st.floats(width=32, allow_infinity=False)
times = st.one_of(st.integers(-6 * 10**13, 10**14 - 1), st.integers(-(10**10), 10**10))
"""Years 68 to 5138, and more often those of 1970 that numbers of seconds would be taken for."""
rows = st.lists(st.tuples(st.text(min_size=1), times, numbers, numbers), min_size=1)


def said(time_ms: int) -> int | str:
    """A number of ms, but as text from 1970-01-02 to 1970-04-26 and back: seconds of 1973 to 2286 look alike."""
    is_text = 10**8 <= abs(time_ms) < 10**10
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).isoformat() if is_text else time_ms


def batch_of(some: list[tuple[str, int, float, float]]) -> TableBatch:
    streams, times, *values = zip(*some, strict=True)
    return TableBatch(list(streams), np.array(times, dtype=np.int64), np.array(values, dtype="f4").T)


@given(rows)
def test_json_values_are_those_json_dumps_would_write(some: list[tuple[str, int, float, float]]) -> None:
    got = TickEncoder(FEATURES, InputSettings(stream_field="who")).encode(batch_of(some))
    for raw, (stream, time_ms, *values) in zip(got, some, strict=True):
        present = {name: v for name, v in zip(FEATURES, values, strict=True) if not np.isnan(v)}
        present = present or dict.fromkeys(FEATURES)
        slow = json.loads(json.dumps({"time": said(time_ms), "who": stream} | present))
        read = json.loads(raw)
        assert list(read) == list(slow)
        assert {k: np.float32(v) if k in FEATURES and v is not None else v for k, v in read.items()} == slow


def test_a_time_that_neither_a_number_nor_text_can_say_is_refused() -> None:
    batch = batch_of([("a", 10**14, 1.0, 2.0)])  # as microseconds it would be of 1973, as text of the year 5138
    with pytest.raises(DataError, match=r"input\.time_unit = ms"):
        TickEncoder(FEATURES, InputSettings()).encode(batch._replace(time_ms=np.array([9 * 10**15])))
    assert json.loads(TickEncoder(FEATURES, InputSettings(time_unit="ms")).encode(batch)[0])["time"] == 10**14


@pytest.mark.parametrize("codec", ["json", "msgpack", "float32"])
@given(some=rows)
def test_the_daemon_reads_the_very_same_ticks(codec: Any, some: list[tuple[str, int, float, float]]) -> None:
    some = [(name.encode(errors="replace").decode(), *rest) for name, *rest in some]
    batch, encoder = batch_of(some), TickEncoder(FEATURES, InputSettings(codec=codec))
    chunk = EncodedTicks(
        (0,) * len(some),
        tuple(s.encode() for s in batch.streams),
        encoder.encode(batch),
        batch.time_ms,
        encoder.has_time,
        (0.0, 1.0),
    )
    out = chunk.records(0, len(some))
    got, dead = Decoder(SPEC, codec=codec).decode([Record(r.partition, i, *r[1:-1]) for i, r in enumerate(out)])
    assert not dead
    assert got.streams == [record.key for record in out]
    np.testing.assert_array_equal(got.time_ms, batch.time_ms)
    np.testing.assert_array_equal(got.values, batch.values)


def test_a_feature_in_the_place_of_the_time_is_refused() -> None:
    with pytest.raises(DataError, match=r"feature 'time' is also input\.time_field"):
        TickEncoder(("time",), InputSettings())
    TickEncoder(("time",), InputSettings(time_field=None))


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\x1b"])
def test_a_feature_the_daemon_could_not_read_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="features: Renamed field names must not contain") as error:
        TickEncoder((name,), InputSettings())
    assert str(error.value).isprintable()


def written(folder: Path, text: str) -> Path:
    (folder / "pump.csv").write_text(text)
    return folder / "pump.csv"


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("limit", [1, 19_999, 20_000, 20_001, 70_000, None])
def test_a_limit_counts_rows_and_the_shares_join(tmp_path: Path, limit: int | None, wide: bool) -> None:
    path = written(tmp_path, "a,b\n" + "1,2\n" * 50_000)
    table = read_table(path, TableColumns(wide=wide, every_ms=1000))
    encoder = TickEncoder(table.features, InputSettings())
    got = list(chunks(table, encoder, Places(3), limit))
    assert sum(len(chunk.values) for chunk in got) == min(limit or 50_000, 50_000) * table.ticks_per_row
    assert max(len(chunk.values) for chunk in got) <= 20_000
    edges = [chunk.shares for chunk in got]
    assert [before for before, _ in edges] == pytest.approx([0.0, *[after for _, after in edges[:-1]]])
    assert edges[-1][1] == pytest.approx(min(1.0, 50_000 / (limit or 50_000)))


class Broker:
    """An appender that is away for the first `away` calls, and can be told to stop after some."""

    def __init__(self, away: int = 0) -> None:
        self.away, self.got, self.stop = away, [], asyncio.Event()

    async def append(self, topic: str, records: list[OutRecord], number: int) -> None:
        assert topic == "ticks"
        assert number == len(self.got) + 1
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("nobody at broker:9092")
        self.got += records


def watch() -> Watch:
    return Watch(Console(file=io.StringIO(), width=200))


def encoded(count: int) -> list[EncodedTicks]:
    shares = [(i / count, (i + 1) / count) for i in range(count)]
    return [
        EncodedTicks((0,), (b"k",), [b"%d" % i], np.array([T0 + i]), True, share) for i, share in enumerate(shares)
    ]


async def test_a_lost_broker_is_waited_for_and_the_reason_shown() -> None:
    broker, seen = Broker(away=3), watch()
    pacer = Pacer(0, None, asyncio.sleep)
    sender = TickSender(broker, "ticks", pacer, seen, broker.stop, retry_s=(0.01, 0.02))  # type: ignore[arg-type]
    await sender.run(iter(encoded(5)))
    assert [record.value for record in broker.got] == [b"0", b"1", b"2", b"3", b"4"]
    said = seen._console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("trying again, up to 1 ticks may come twice: nobody at broker:9092\n") == 3
    assert seen.sent == 5


async def test_a_stop_while_the_broker_is_away_ends_it() -> None:
    broker = Broker(away=10**9)
    sender = TickSender(broker, "ticks", Pacer(0, None, asyncio.sleep), watch(), broker.stop)  # type: ignore[arg-type]
    running = asyncio.create_task(sender.run(iter(encoded(5))))
    await asyncio.sleep(0.05)
    broker.stop.set()
    with pytest.raises(Stopped):
        await asyncio.wait_for(running, 0.4)


async def test_an_unreadable_row_comes_up_after_what_was_before_it() -> None:
    def failing() -> Iterator[EncodedTicks]:
        yield from encoded(2)
        raise DataError("row 3")

    broker = Broker()
    with pytest.raises(DataError, match="row 3"):
        await TickSender(broker, "ticks", Pacer(0, None, asyncio.sleep), watch(), broker.stop).run(failing())  # type: ignore[arg-type]
    assert len(broker.got) == 2


def test_progress_in_a_pipe_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    with watch() as seen:
        for i in range(1, 101):
            clock.now_s += 0.1
            seen.count(100, T0 + i * 60_000, i / 200)
    lines = seen._console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "5,000 ticks, 1,000 ticks/s, at 2016-07-01T00:50:00, 25%, 15 s left",
        "10,000 ticks, 1,000 ticks/s, at 2016-07-01T01:40:00, 50%, 10 s left",
    ]


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture
def topic(bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name of its own for the environment's broker; the topic is not there yet."""
    name = f"ticks-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("STREAMRNN_KAFKA__BOOTSTRAP", bootstrap)
    monkeypatch.setenv("STREAMRNN_KAFKA__ACKS_IDEMPOTENT", "false")
    monkeypatch.setenv("STREAMRNN_INPUT__TOPIC", name)
    return name


def reading(topic: str) -> Settings:
    return Settings(kafka={"bootstrap": os.environ["STREAMRNN_KAFKA__BOOTSTRAP"]}, input={"topic": topic})


def everything(topic: str, partitions: int) -> list[Record]:
    """All records of the topic, by partition and offset."""
    s = reading(topic)

    async def read() -> list[Record]:
        return [r for p in range(partitions) async for rs in read_range(s, p, 0, 10**9, 5000) for r in rs]

    return asyncio.run(read())


def by_stream(records: list[Record]) -> dict[str, list[Any]]:
    """Decoded values of each key, in log order; each key in the one partition Kafka's partitioner names."""
    partitions = 1 + max(record.partition for record in records)
    found: dict[str, list[Any]] = {}
    for record in records:
        assert record.key is not None
        assert record.value is not None
        assert record.partition == (aiokafkas_murmur2(record.key) & 0x7FFFFFFF) % partitions
        found.setdefault(record.key.decode(), []).append(msgspec.json.decode(record.value))
    return found


def test_every_row_arrives_once_in_order_on_its_partition(
    topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    named = [f"pump-{n}" for n in rng.integers(0, 50, 45_000).tolist()]
    temps = ["" if n % 7 == 0 else f"{n / 8}" for n in range(45_000)]
    lines = [f"{T0 + n},{name},{temp},{n}" for n, (name, temp) in enumerate(zip(named, temps, strict=True))]
    path = written(tmp_path, "ts,pump,temp,count\n" + "\n".join(lines))
    began_ms = int(time.time() * 1000)
    assert main(["replay", str(path), "--stream-column", "pump", "--speed", "max", "--create-topic", "4"]) == 0
    records = everything(topic, 4)
    expected: dict[str, list[Any]] = {}
    for n, (name, temp) in enumerate(zip(named, temps, strict=True)):
        present = {"temp": float(temp)} if temp else {}
        expected.setdefault(name, []).append({"time": T0 + n, **present, "count": float(n)})
    assert by_stream(records) == expected
    assert all(began_ms <= record.timestamp_ms <= time.time() * 1000 for record in records)
    out, err = capsys.readouterr()
    assert out.startswith("45,000 ticks, ")
    assert out.endswith(f" s, topic {topic}\n")
    assert ", 50 streams, " in out
    assert err.startswith(f"{path}: time: column 'ts'; stream: column 'pump'; features: 'temp', 'count'\n")


REAL = {
    "ett/ETTh1.csv.gz": [],
    "bytewax_ec2/ec2_metrics.csv.gz": ["--stream-column", "instance", "--features", "value"],
    "price_daily/stocks.csv.gz": ["--stream-column", "Ticker", "--features", "Close,Volume"],
    "los_loop/los_speed.csv.gz": ["--wide", "--every", "300", "--start", "2012-03-01", "--limit", "100"],
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_arrive_as_they_are(name: str, topic: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data: {DATA} is absent")
    assert main(["replay", str(path), "--speed", "max", "--create-topic", "3", "--no-progress", *REAL[name]]) == 0
    got = by_stream(everything(topic, 3))
    given_rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    streams = REAL[name][1] if "--stream-column" in REAL[name] else None
    expected: dict[str, list[list[float]]] = {}
    if "--wide" in REAL[name]:
        expected = {sensor: [[float(row[sensor])] for row in given_rows[:100]] for sensor in given_rows[0]}
    else:
        features = [f for f in next(iter(got.values()))[0] if f != "time"]
        for row in given_rows:
            stream = row[streams] if streams else path.name.removesuffix(".csv.gz")
            expected.setdefault(stream, []).append([float(row[f]) for f in features])
    assert list(got.keys() ^ expected.keys()) == []
    for stream, ticks in got.items():
        values = [[v for k, v in tick.items() if k != "time"] for tick in ticks]
        np.testing.assert_array_equal(np.array(values, dtype="f4"), np.array(expected[stream], dtype="f4"))
        assert all(a["time"] <= b["time"] for a, b in pairwise(ticks))


def test_packed_values_carry_their_event_time_as_timestamp(topic: str, tmp_path: Path) -> None:
    path = written(tmp_path, "time,a,b\n2016-07-01,1,\n2016-07-02,3,4\n")
    assert main(["replay", str(path), "--speed", "0", "--create-topic", "1", "--input.codec", "float32"]) == 0
    first, second = everything(topic, 1)
    assert [first.timestamp_ms, second.timestamp_ms] == [T0, T0 + 86_400_000]
    assert second.value == np.array([3, 4], dtype="<f4").tobytes()
    assert np.isnan(np.frombuffer(first.value or b"", "<f4")[1])


def test_recorded_speed_is_kept(topic: str, tmp_path: Path) -> None:
    path = written(tmp_path, "time,a\n" + "".join(f"{T0 + 1000 * n},{n}\n" for n in range(31)))
    began_s = time.monotonic()
    assert main(["replay", str(path), "--speed", "20", "--create-topic", "1"]) == 0
    assert 1.5 <= time.monotonic() - began_s < 4
    stamps = np.array([record.timestamp_ms for record in everything(topic, 1)])
    late_ms = stamps - stamps[0] - 50 * np.arange(31)
    assert late_ms.min() > -50
    assert np.median(late_ms) < 50


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_it_and_says_how_many_were_sent(topic: str, tmp_path: Path, number: int, code: int) -> None:
    path = written(tmp_path, f"time,a\n{T0},1\n{T0},2\n{T0 + 3_600_000},3\n")
    asyncio.run(create_topic(reading(topic).kafka, topic, 1))
    command = [*PROGRAM, "replay", str(path)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _await_records(topic, 2)
        running.send_signal(number)
        out, err = running.communicate(timeout=10)
    finally:
        running.kill()
    assert running.returncode == code
    assert out.startswith(f"stopped by {signal.Signals(number).name}: 2 ticks, ")
    assert "Traceback" not in err


def _await_records(topic: str, count: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if len(everything(topic, 1)) >= count:
            return
        time.sleep(0.1)
    raise TimeoutError(f"no {count} records in {topic}")


def test_a_topic_that_is_absent_is_named_with_the_option_that_creates_it(
    topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"time,a\n{T0},1\n")
    assert main(["replay", str(path)]) == 5
    err = capsys.readouterr().err
    assert f"the input topic '{topic}' does not exist; --create-topic PARTITIONS creates it" in err


def test_a_topic_that_is_there_stays_as_it_is(topic: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"time,a\n{T0},1\n")
    for partitions in ("2", "5"):
        assert main(["replay", str(path), "--create-topic", partitions]) == 0
    assert len(everything(topic, 2)) == 2


def test_a_bad_row_anywhere_ends_it_before_a_tick_is_sent(
    topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = "".join(f"{T0 + n},1\n" for n in range(200_000))
    path = written(tmp_path, f"time,a\n{good}never,1\n")
    assert main(["replay", str(path), "--speed", "max", "--create-topic", "1", "--no-progress"]) == 2
    out, err = capsys.readouterr()
    assert "row 200001 (line 200002), column 'time': Invalid isoformat string: 'never'" in err
    assert out == ""
    assert asyncio.run(partition_count(reading(topic).kafka, topic, is_needed=False)) == 0


def test_files_are_merged_by_time_and_their_numbers_sent_as_they_are(topic: str, tmp_path: Path) -> None:
    for n, name in enumerate("ba"):
        (tmp_path / f"{name}.csv").write_text(f"time,v,x\n{T0 + n},987654324,0.1\n{T0 + 2 + n},987654330,\n")
    files = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert main(["replay", *files, "--speed", "max", "--create-topic", "1", "--no-progress"]) == 0
    found = [(record.key, record.value) for record in everything(topic, 1)]
    assert found == [
        (b"b", b'{"time":%d,"v":987654324,"x":0.1}' % T0),
        (b"a", b'{"time":%d,"v":987654324,"x":0.1}' % (T0 + 1)),
        (b"b", b'{"time":%d,"v":987654330}' % (T0 + 2)),
        (b"a", b'{"time":%d,"v":987654330}' % (T0 + 3)),
    ]


def test_times_that_run_back_are_refused_sorted_or_left_to_the_service(
    topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, f"time,a\n{T0 + 1},1\n{T0},2\n")
    assert main(["replay", str(path), "--create-topic", "1"]) == 2
    assert "row 2 (line 3), column 'time': 2016-07-01 00:00:00 comes after" in capsys.readouterr().err
    asyncio.run(create_topic(reading(topic).kafka, topic, 1))
    assert main(["replay", str(path), "--order", "sort"]) == 0
    assert main(["replay", str(path), "--input.out_of_order", "drop"]) == 0
    assert [msgspec.json.decode(record.value or b"")["a"] for record in everything(topic, 1)] == [2, 1, 1, 2]


def test_a_bad_file_and_a_wrong_address_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path / "absent.csv")]) == 2
    assert capsys.readouterr().err == f"streamrnn: {tmp_path}/absent.csv: No such file or directory\n"
    path = written(tmp_path, f"time,a\n{T0},1\n")
    assert main(["replay", str(path), "--kafka.bootstrap", "127.0.0.1:1"]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert "Kafka at 127.0.0.1:1 does not answer" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--speed", "fast"], ["--speed", "-1"], ["--speed", "inf"], ["--limit", "0"],
                                   ["--every", "0"], ["--start", "soon"], ["--create-topic", "x"]])  # fmt: skip
def test_options_that_cannot_be_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", "x.csv", *words])
    assert ended.value.code == 2
    assert f"argument {words[0]}: " in capsys.readouterr().err


def test_help_needs_neither_torch_nor_pyarrow() -> None:
    code = "import sys, streamrnn.cli as c; c.build_parser(); print({'torch', 'pyarrow'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_streams_become_keys_of_the_kind_that_the_daemon_reads() -> None:
    assert Places(1, "int64")["200"] == (bytes(7) + b"\xc8", 0)
    assert Places(1, "bytes")["00ff"] == (b"\x00\xff", 0)
    assert Places(1)["200"] == (b"200", 0)
    with pytest.raises(DataError, match=r"'pump' is no key of input\.key = int64: not a whole number"):
        Places(1, "int64")["pump"]

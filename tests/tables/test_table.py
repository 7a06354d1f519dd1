"""Tables on disk against the standard library's csv and datetime; every refusal with its place."""

import csv
import gc
import gzip
import io
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.tables import times
from streamrnn.tables.columns import Columns
from streamrnn.tables.table import TableBatch, read_table

DATA = Path(__file__).parents[2].parent / "shared" / "data"
T0 = 1_467_331_200_000
"""2016-07-01 00:00:00 UTC in ms."""


def written(folder: Path, text: str, name: str = "pump.csv") -> Path:
    path = folder / name
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def parquet(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "pump.parquet", row_group_size=3)
    return folder / "pump.parquet"


def whole(path: Path, columns: Columns | None = None) -> TableBatch:
    """All batches as one."""
    batches = list(read_table(path, columns))
    streams = [stream for batch in batches for stream in batch.streams]
    return TableBatch(
        streams, np.concatenate([b.time_ms for b in batches]), np.concatenate([b.values for b in batches])
    )


def refused(path: Path, columns: Columns | None = None) -> str:
    with pytest.raises(DataError) as error:
        whole(path, columns)
    said = str(error.value)
    assert said.startswith(str(path))
    assert said.isprintable()
    return said.removeprefix(str(path))


def test_a_plain_file_is_one_stream_named_as_it(tmp_path: Path) -> None:
    text = "date,temp,place,load\n2016-07-01,1.5,x,2\n2016-07-01 00:00:01,,y,NaN\n"
    path = written(tmp_path, text, "Pump 7.csv.gz")
    table = read_table(path)
    assert (table.features, table.time, table.stream) == (("temp", "load"), ("date",), ())
    assert table.unused == ("place",)
    got = whole(path)
    assert got.streams == ["Pump 7", "Pump 7"]
    assert got.time_ms.tolist() == [T0, T0 + 1000]
    np.testing.assert_array_equal(got.values, np.array([[1.5, 2], [np.nan, np.nan]], dtype="f8"))
    assert (got.values.dtype, got.time_ms.dtype) == (np.float64, np.int64)


def test_streams_come_from_a_column_and_features_in_the_order_asked(tmp_path: Path) -> None:
    path = written(tmp_path, "ts,who,a,b\n1467331200,NA,1,2\n1467331200,7,3,4\n")
    got = whole(path, Columns(stream=("who",), features=("b", "a")))
    assert got.streams == ["NA", "7"]
    assert got.values.tolist() == [[2, 1], [4, 3]]


def test_each_column_of_a_wide_table_is_a_stream(tmp_path: Path) -> None:
    path = written(tmp_path, "s1,s2,s3\n1,2,3\n4,,6\n")
    columns = Columns(wide=True, every_ms=300_000, start_ms=T0)
    table = read_table(path, columns)
    assert (table.features, table.ticks_per_row, table.numbers) == (("value",), 3, ("s1", "s2", "s3"))
    got = whole(path, columns)
    assert got.streams == ["s1", "s2", "s3"] * 2
    assert got.time_ms.tolist() == [T0] * 3 + [T0 + 300_000] * 3
    np.testing.assert_array_equal(got.values[:, 0], np.array([1, 2, 3, 4, np.nan, 6], dtype="f8"))


@pytest.mark.parametrize(
    ("text", "after_ms"),
    [("2016-07-01", 0), ("2016-07-01 00:00", 0), ("2016-07-01 00:00:00", 0), ("2016-07-01T00:00:00Z", 0),
     ("2016-07-01T02:00:00+02:00", 0), ("2016-06-30T18:30-0530", 0), ("2016-07-01T00:00:00.123", 123),
     ("2016-07-01 00:00:00.123999", 123), ("2016-07-01 00:00:00.123456789", 123), (" 2016-07-01 ", 0),
     ("1467331200", 0), ("1467331200123", 123), ("1467331200123999", 123), ("1467331200123999999", 123),
     ("1467331200.123", 123), ("1467331200123.0", 123), ("1.467331200e9", 0)],
)  # fmt: skip
def test_a_time_is_iso_8601_or_an_epoch_number(tmp_path: Path, text: str, after_ms: int) -> None:
    assert whole(written(tmp_path, f"time,a\n{text},1\n")).time_ms.tolist() == [T0 + after_ms]


@pytest.mark.parametrize(
    ("form", "text", "after_ms"),
    [("%m/%d/%Y", "7/1/2016", 0), ("%Y%m%d", "20160701", 0), ("%Y", "2016", -182 * 86_400_000), ("ms", "0", -T0),
     ("%d.%m.%Y %H:%M %z", "01.07.2016 02:00 +0200", 0), ("s", "1.5", 1500 - T0), ("us", "-1", -1 - T0),
     ("ns", "1999999", 1 - T0)],
)  # fmt: skip
def test_a_time_format_reads_the_rest(tmp_path: Path, form: str, text: str, after_ms: int) -> None:
    got = whole(written(tmp_path, f"time,a\n{text},1\n"), Columns(time_format=form))
    assert got.time_ms.tolist() == [T0 + after_ms]


moments = st.datetimes(datetime(1973, 4, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
KINDS = ["s", "ms", "us", "ns", "iso", "zone", "mixed", "%d/%m/%Y %H"]


@given(st.lists(moments, min_size=1), st.sampled_from(KINDS))
def test_columns_of_times_are_read_as_one_by_one(some: list[datetime], kind: str) -> None:
    micros = [(moment - times.EPOCH) // timedelta(microseconds=1) for moment in some]
    isos = [moment.replace(tzinfo=None).isoformat(sep=" ") for moment in some]
    texts = {
        "s": [str(us // 1_000_000) for us in micros],
        "ms": [str(us // 1_000) for us in micros],
        "us": [str(us) for us in micros],
        "ns": [str(us * 1000) for us in micros],
        "iso": isos,
        "zone": [iso + "+00:00" for iso in isos],
        "mixed": [iso + "Z" * (n % 2) for n, iso in enumerate(isos)],
        "%d/%m/%Y %H": [moment.strftime("%d/%m/%Y %H") for moment in some],
    }[kind]
    form = kind if "%" in kind else None
    unit_us = {"s": 1_000_000, "%d/%m/%Y %H": 3_600_000_000}.get(kind, 1000)
    fast = times.text_times(pa.array(texts), form).tolist()
    assert fast == [times.time_ms(text, form) for text in texts]
    assert fast == [us // unit_us * unit_us // 1000 for us in micros]


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (None, ["2016-07-01 23:24:00", "2016-07-01 23:24:00Z", "2016-07-01T24:00", "2016-07-02 00:00:00.5"]),
        (None, ["2016-07-01 24:00:00", "2016-07-02 00:24:00", "2016-07-02 05:24:00.000", "2016-07-02 24:00:00.000"]),
        ("%d.%m.%Y %H:%M:%S", ["01.07.2016 23:24:00", "01.07.2016 24:00:00", "02.07.2016 00:24:00"]),
        ("%d.%m.%Y %H:%M", ["01.07.2016 23:59", "01.07.2016 24:00", "02.07.2016 00:01"]),
    ],
)
def test_24_00_is_the_end_of_a_day_and_minute_24_is_none(form: str | None, texts: list[str]) -> None:
    got = times.text_times(pa.array(texts), form).tolist()
    plain = [re.sub(r" 24:|T24:", " 00:", text) for text in texts]
    days = [86_400_000 * (text != other) for text, other in zip(texts, plain, strict=True)]
    parse = datetime.fromisoformat if form is None else lambda text: datetime.strptime(text, form)
    moments = [parse(text.removesuffix("Z")).replace(tzinfo=UTC) for text in plain]
    assert got == [round(m.timestamp() * 1000) + day for m, day in zip(moments, days, strict=True)]
    assert got == sorted(got)


@pytest.mark.parametrize("text", ["2016-07-01 24:00:30", "2016-07-01 24:01", "2016-07-01T00:00+24:00", "24:00"])
def test_what_only_looks_like_24_00_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(written(tmp_path, f"time,a\n{text},1\n")).startswith(at(1, 2, "time"))


STAMPS = [f"timestamp[{unit}]" for unit in times.PER_MS]


@pytest.mark.parametrize("kind", [*STAMPS, "date32", "date64", "zone", "int64", "int32", "double", "string"])
def test_parquet_times_of_every_type(tmp_path: Path, kind: str) -> None:
    moment = datetime(2016, 7, 1)
    made = {
        "date32": lambda: pa.array([moment.date()], pa.date32()),
        "date64": lambda: pa.array([moment.date()], pa.date64()),
        "zone": lambda: pa.array([moment.replace(tzinfo=UTC)], pa.timestamp("ns", "Europe/Paris")),
        "int64": lambda: pa.array([T0 * 1000]),
        "int32": lambda: pa.array([T0 // 1000], pa.int32()),
        "double": lambda: pa.array([T0 / 1000]),
        "string": lambda: pa.array(["2016-07-01T00:00Z"]),
    }.get(kind, lambda: pa.array([moment], pa.timestamp(kind[10:-1])))
    path = parquet(tmp_path, when=made(), a=pa.array([1], pa.int8()))
    assert whole(path, Columns(time=("when",))).time_ms.tolist() == [T0]


def test_parquet_numbers_of_every_type_and_coded_streams(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        day=pa.array([date(2016, 7, 1)] * 2),
        who=pa.array(["a", "b"]).dictionary_encode(),
        i=pa.array([2**40, None]),
        d=pa.array([None, 2.5], pa.float64()),
        x=pa.array([None, 1], pa.decimal128(5, 2)),
        no=pa.array(["x", "y"]),
        on=pa.array([True, False]),
    )
    table = read_table(path, Columns(stream=("who",)))
    assert (table.features, table.time, table.unused) == (("i", "d", "x"), ("day",), ("no", "on"))
    got = whole(path, Columns(stream=("who",), features=("i", "d", "x", "on")))
    assert got.streams == ["a", "b"]
    expected = np.array([[2**40, np.nan, np.nan, 1], [np.nan, 2.5, 1, 0]], dtype="f8")
    np.testing.assert_array_equal(got.values, expected)


def at(row: int, line: int, column: str) -> str:
    return f": row {row} (line {line}), column {column!r}: "


@pytest.mark.parametrize(
    ("text", "columns", "reason"),
    [
        ("time,a\n2016-07-01,1\nsoon,1\n", {}, at(2, 3, "time") + "Invalid isoformat string: 'soon'; its time"),
        ("time,a\n1467331200,1\nsoon,1\n", {}, at(2, 3, "time") + "Invalid isoformat string: 'soon'; its time"),
        ("time,a\n2016-07-01,1\n,1\n", {}, at(2, 3, "time") + "no time"),
        ("time,a\n2016-02-31,1\n", {}, at(1, 2, "time") + "day is out of range for month; its time format ("),
        ("time,a\n20160701,1\n", {}, at(1, 2, "time") + "20160701 fits no epoch unit; its time format ("),
        ("time,a\n12,1\n", {"time_format": "%Y"}, at(1, 2, "time") + "time data '12' does not match"),
        ("time,a\n2/31/16,1\n", {"time_format": "%m/%d/%y"}, at(1, 2, "time") + "day is out of range for month"),
        ("time,a\n1e300,1\n", {"time_format": "s"}, at(1, 2, "time") + "1e+300 is out of range"),
        ("time,a\n2016-07-01,1\n2016-07-01,x\x1b\n", {"features": ("a",)}, at(2, 3, "a") + r"'x\x1b' is not a"),
        ("time,a\n2016-07-01,1\n2016-07-01,1e39\n", {}, at(2, 3, "a") + "1e39 is infinite, or too large for"),
        ("time,a\n2016-07-01,1\n\n\n2016-07-01\n", {}, ": row 2 (line 5), Expected 2 columns, got 1: 2016-07-01"),
        ('time,"a\nb",c\n2016-07-01,1,"x\ny"\n2016-07-01,\n', {}, ": row 2 (line 5), Expected 3 columns, got 2"),
        ("time,s,a\n2016-07-01,x,1\n2016-07-01,,1\n", {"stream": ("s",)}, at(2, 3, "s") + "the stream has no name"),
        ("when,a\n1467331200,1\n", {}, ": which is the time column, or how far apart are the rows? its columns: '"),
        ("date,Time,a\n2016-07-01,1,1\n", {}, ": which of 'date', 'Time' is the time column?"),
        ("time,Temp\n2016-07-01,1\n", {"features": ("temp",)}, ": no column 'temp'; did you mean 'Temp'?"),
        ("time,Temp\n2016-07-01,1\n", {"stream": ("zzz",)}, ": no column 'zzz'; its columns: 'time', 'Temp'"),
        ("time,a,a\n2016-07-01,1,2\n", {"features": ("a",)}, ": 2 columns are called 'a'"),
        ("time,a\n2016-07-01,1\n", {"features": ("a", "a")}, ": columns named twice: 'a'; --names gives o"),
        ("time,a\n2016-07-01,x\n", {}, ": no column holds only numbers: --features names them; its"),
        ("time,a\n2016-07-01,1\n", {"stream": ("a",), "wide": True}, ": a wide table's streams are its columns"),
        ("time,a\n2016-07-01,1\n", {"time": ("time",), "every_ms": 1}, ": either a time column or the time bet"),
        ("time,a\n", {}, ": no rows"),
        ("", {}, ": Empty CSV file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, text: str, columns: dict[str, Any], reason: str
) -> None:
    for name in ("pump.csv", "pump.csv.gz"):
        assert refused(written(tmp_path, text, name), Columns(**columns)).startswith(reason)


def test_a_time_format_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="time format 'epoch': must be s, ms, us, ns, or a form"):
        read_table(written(tmp_path, "time,a\n1,1\n"), Columns(time_format="epoch"))


def test_a_bad_cell_far_down_is_found_and_what_came_before_it_was_read(
    tmp_path: Path,
) -> None:
    lines = [f"{1_467_331_200 + i},{i}" for i in range(5000)]
    lines[4321] = "1467331200,zz"
    table = read_table(written(tmp_path, "time,a\n" + "\n".join(lines)), block_bytes=2000)
    got = []
    with pytest.raises(DataError, match=r"row 4322 \(line 4323\), column 'a': 'zz' is not a number"):
        got.extend(batch for batch in table)
    assert 4000 < sum(len(batch.streams) for batch in got) <= 4321


def test_a_column_that_begins_empty_is_a_feature(tmp_path: Path) -> None:
    text = "time,a,late\n" + "2016-07-01,1,\n" * 50_000 + "2016-07-01,1.5,7.25\n"
    got = whole(written(tmp_path, text))
    assert got.values[-1].tolist() == [1.5, 7.25]
    assert np.isnan(got.values[:50_000, 1]).all()


def test_texts_that_mean_missing_are_given(tmp_path: Path) -> None:
    path = written(tmp_path, "time,a\n2016-07-01,.\n2016-07-01,nil\n2016-07-01,N/A\n2016-07-01,4\n")
    got = whole(path, Columns(missing=(".", "nil")))
    np.testing.assert_array_equal(got.values[:, 0], np.array([np.nan, np.nan, np.nan, 4], dtype="f8"))


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    rows = "time,a\n" + "".join(f"{1_467_331_200 + i},{i * i % 977}\n" for i in range(200_000))
    good = gzip.compress(rows.encode())
    for name, raw in {
        "cut.csv.gz": good[: len(good) // 2],
        "hit.csv.gz": good[:300_000] + bytes(50) + good[300_050:],
        "text.csv.gz": b"time,a\n1467331200,1\n",
        "short.csv.gz": b"\x1f\x8b",
        "junk.parquet": b"PAR1" * 100,
        "empty.parquet": b"",
        "latin.csv": "time,who,a\n2016-07-01,é,1\n".encode("latin-1"),
    }.items():
        (tmp_path / name).write_bytes(raw)
        assert refused(tmp_path / name, Columns(stream=("who",)) if name == "latin.csv" else None).startswith(": ")
    raw = bytearray(parquet(tmp_path, time=pa.array(range(T0, T0 + 5000)), a=pa.array(range(5000))).read_bytes())
    raw[200:30_000] = bytes(29_800)
    (tmp_path / "hit.parquet").write_bytes(raw)
    assert refused(tmp_path / "hit.parquet")
    assert refused(tmp_path / "absent.csv") == ": No such file or directory"
    assert refused(tmp_path / "table.xlsx").startswith(": by its name none of .csv, .tsv, .txt, .parquet")
    (tmp_path / "folder.csv").mkdir()
    assert refused(tmp_path / "folder.csv")


def test_text_in_a_parquet_feature_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, time=pa.array([T0]), a=pa.array(["x"]))
    assert refused(path, Columns(features=("a",))) == ": row 1, column 'a': string, not numbers"


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz", "big.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    small, large = peak(tmp_path / name, 200_000), peak(tmp_path / name, 800_000)
    assert large < 1.3 * small


def peak(path: Path, count: int) -> int:
    """Most bytes of pyarrow's at once while a file of so many rows is read; its progress is looked at too."""
    table = pa.table({"time": np.arange(T0, T0 + count), "a": np.arange(count) * 1.0, "b": np.arange(count) * 7.0})
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=count)
    else:
        with pa.output_stream(path) as out:
            pa.csv.write_csv(table, out)
    del table
    gc.collect()
    before, most, seen, shares = pa.total_allocated_bytes(), 0, 0, []
    reading = read_table(path, block_bytes=1 << 16)
    for batch in reading:
        most, seen = max(most, pa.total_allocated_bytes() - before), seen + len(batch.streams)
        shares.append(reading.share)
    assert seen == count
    assert shares == sorted(shares)
    assert shares[0] < 0.4
    assert shares[-1] == pytest.approx(1, abs=0.1)
    return most


def test_a_table_can_be_read_again(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "time,a\n2016-07-01,1\n"))
    assert [batch.values.tolist() for batch in table] == [batch.values.tolist() for batch in table] == [[[1.0]]]


REAL: dict[str, dict[str, Any]] = {
    "ett/ETTh1.csv.gz": {},
    "ett/ETTm1.csv.gz": {},
    "bytewax_ec2/ec2_metrics.csv.gz": {"stream": ("instance",), "features": ("value",)},
    "price_daily/stocks.csv.gz": {"stream": ("Ticker",)},
    "price_daily/GOOG.csv.gz": {},
    "price_daily/EURUSD.csv.gz": {},
    "price_daily/sp500.csv.gz": {"time_format": "%m/%d/%Y"},
    "price_daily/vix.csv.gz": {"time_format": "%m/%d/%Y", "missing": (".",)},
    "price_fx/gbpusd-m1-bid-2012.csv.gz": {},
    "price_freqtrade/ETH_BTC-5m.csv.gz": {},
    "nab/realTraffic/speed_6005.csv.gz": {},
    "nab/realKnownCause/machine_temperature_system_failure.csv.gz": {},
    "los_loop/los_speed.csv.gz": {"wide": True, "every_ms": 300_000},
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_as_the_standard_library_reads_them(name: str) -> None:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no real data: {DATA} is absent")
    columns = Columns(**REAL[name])
    table, got = read_table(path, columns), whole(path, columns)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    numbers = [[float("nan" if row[n] in ("", ".") else row[n]) for n in table.numbers] for row in rows]
    np.testing.assert_array_equal(got.values.reshape(len(rows), -1), np.array(numbers, dtype="f8"))
    times = [_time(row[table.time[0]], columns) if table.time else i * 300_000 for i, row in enumerate(rows)]
    assert got.time_ms[:: table.ticks_per_row].tolist() == times
    stem = Path(Path(name).stem).stem
    expected = [row[table.stream[0]] if table.stream else stem for row in rows]
    assert got.streams == (list(table.numbers) * len(rows) if columns.wide else expected)


def _time(text: str, columns: Columns) -> int:
    if re.fullmatch(r"\d+", text):
        return int(text)
    moment = datetime.strptime(text, columns.time_format) if columns.time_format else datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("CGM.csv.gz", {"missing": ("nil",)}),
        ("sea_surface_temperature.csv.gz", {}),
        ("lincoln_weather.csv", {"stream": ("STATION",)}),
        ("gapminder.csv.gz", {"stream": ("country",), "time": ("year",), "time_format": "%Y"}),
        ("unemployment1948.csv", {"time": ("Year",), "time_format": "%Y", "wide": True}),
    ],
)
def test_the_demos_sample_files_can_be_read(name: str, columns: dict[str, Any]) -> None:
    folder = Path(pytest.importorskip("bokeh_sampledata").__file__).parent / "_data"
    got = whole(folder / name, Columns(**columns))
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "rt") as text:
        rows = sum(1 for _ in csv.reader(text)) - 1
    assert len(got.streams) == rows * read_table(folder / name, Columns(**columns)).ticks_per_row
    assert np.isfinite(got.values).any(axis=0).all()

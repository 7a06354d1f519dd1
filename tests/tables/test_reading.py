"""Tables on disk: columns, types, memory; every refusal with its place."""

import gc
import gzip
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import read_table

from .wholes import T0, at, parquet, refused, whole, written


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
    got = whole(path, TableColumns(stream=("who",), features=("b", "a")))
    assert got.streams == ["NA", "7"]
    assert got.values.tolist() == [[2, 1], [4, 3]]


def test_each_column_of_a_wide_table_is_a_stream(tmp_path: Path) -> None:
    path = written(tmp_path, "s1,s2,s3\n1,2,3\n4,,6\n")
    columns = TableColumns(wide=True, every_ms=300_000, start_ms=T0)
    table = read_table(path, columns)
    assert (table.features, table.ticks_per_row, table.numbers) == (("value",), 3, ("s1", "s2", "s3"))
    got = whole(path, columns)
    assert got.streams == ["s1", "s2", "s3"] * 2
    assert got.time_ms.tolist() == [T0] * 3 + [T0 + 300_000] * 3
    np.testing.assert_array_equal(got.values[:, 0], np.array([1, 2, 3, 4, np.nan, 6], dtype="f8"))


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
    table = read_table(path, TableColumns(stream=("who",)))
    assert (table.features, table.time, table.unused) == (("i", "d", "x"), ("day",), ("no", "on"))
    got = whole(path, TableColumns(stream=("who",), features=("i", "d", "x", "on")))
    assert got.streams == ["a", "b"]
    expected = np.array([[2**40, np.nan, np.nan, 1], [np.nan, 2.5, 1, 0]], dtype="f8")
    np.testing.assert_array_equal(got.values, expected)


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
        assert refused(written(tmp_path, text, name), TableColumns(**columns)).startswith(reason)


def test_a_time_format_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="time format 'epoch': must be s, ms, us, ns, or a form"):
        read_table(written(tmp_path, "time,a\n1,1\n"), TableColumns(time_format="epoch"))


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
    got = whole(path, TableColumns(missing=(".", "nil")))
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
        assert refused(tmp_path / name, TableColumns(stream=("who",)) if name == "latin.csv" else None).startswith(
            ": "
        )
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
    assert refused(path, TableColumns(features=("a",))) == ": row 1, column 'a': string, not numbers"
    path = parquet(tmp_path, time=pa.array([T0]), a=pa.array([T0], pa.timestamp("ms")))
    assert refused(path, TableColumns(features=("a",))) == ": row 1, column 'a': timestamp[ms], not numbers"


def test_rows_beyond_all_times_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n1\n2\n")
    assert whole(path, TableColumns(every_ms=2**53)).time_ms.tolist() == [0, 2**53]
    said = refused(path, TableColumns(every_ms=2**53 + 1))
    assert said == ": row 2 is out of range of times with this --every and --start"


@pytest.mark.parametrize("name", ["big.csv", "big.csv.gz", "big.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    small, large = peak(tmp_path / name, 200_000), peak(tmp_path / name, 800_000)
    assert large < 1.3 * small + (1 << 20)


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

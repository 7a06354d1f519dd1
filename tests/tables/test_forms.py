"""How text may be written: separators, numbers, encodings, packing, lines that are no rows; places of errors."""

import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamrnn.commands.arguments import names, separator
from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns, TextForm
from streamrnn.tables.feed import Feed, open_feed

T0 = 1_467_331_200_000
"""2016-07-01 00:00:00 UTC in ms."""
HINT = "--stream-column if they are of several streams"
PLAIN = "time,a,b\n2016-07-01,1.5,2\n2016-07-02,,4\n"


def written(folder: Path, text: str | bytes, name: str = "pump.csv") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def read(path: Path, **columns: Any) -> tuple[list[int], list[list[float | None]]]:
    """Times and values of all ticks."""
    batches = list(open_feed([path], TableColumns(**columns)))
    values = [row for batch in batches for row in batch.values.tolist()]
    times = [time_ms for batch in batches for time_ms in batch.time_ms.tolist()]
    return times, [[None if np.isnan(value) else value for value in row] for row in values]


def refused(path: Path, **columns: Any) -> str:
    with pytest.raises(DataError) as error:
        read(path, **columns)
    assert str(error.value).isprintable()
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_all_first_rows_have(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path, PLAIN.replace(",", mark))
    assert read(path) == ([T0, T0 + 86_400_000], [[1.5, 2], [None, 4]])


def test_two_separators_that_fit_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "time;x,a\n2016-07-01;1,5\n")
    assert refused(path) == ": which of ',', ';' separates its columns? --separator says"
    assert read(path, form=TextForm(separator=";", names=("time", "a"), skip=1, decimal=",")) == ([T0], [[1.5]])


@pytest.mark.parametrize(
    ("cell", "form", "value"),
    [("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
     ("1.234.567", {"decimal": ",", "thousands": "."}, 1234567.0),
     ("-1 234,5", {"decimal": ",", "thousands": " "}, -1234.5), ("1'234.5", {"thousands": "'"}, 1234.5),
     ("1,234", {"thousands": ","}, 1234), ("1,234", {"decimal": ","}, 1.234), ("1234,5", {"decimal": ","}, 1234.5),
     ("20,5", {}, 20.5), (" 7 ", {}, 7.0), ("1e3", {}, 1000.0)],
)  # fmt: skip
def test_a_number_is_read_as_its_separators_say(tmp_path: Path, cell: str, form: Any, value: float) -> None:
    path = written(tmp_path, f"time;a\n2016-07-01;{cell}\n")
    assert read(path, features=("a",), form=TextForm(**form)) == ([T0], [[value]])


@pytest.mark.parametrize(
    ("cell", "form", "said"),
    [
        ("1,234", {}, "'1,234' is not a number; a decimal comma (--decimal ,) or thousands (--thousands ,)?"),
        ("1.5", {"decimal": ","}, "'1.5' is not a number; does it mean a missing one?"),
        ("12,34", {"thousands": ","}, "'12,34' is not a number; a decimal comma"),
        ("1_000", {}, "'1_000' is not a number"),
        ("0x10", {}, "'0x10' is not a number"),
        ("9007199254740993", {}, "9007199254740993 is a whole number beyond 2**53, not exact"),
    ],
)
def test_a_number_that_may_be_two_or_none_is_refused(tmp_path: Path, cell: str, form: Any, said: str) -> None:
    path = written(tmp_path, f"time;a\n2016-07-01;7\n2016-07-02;{cell}\n")
    assert refused(path, features=("a",), form=TextForm(**form)).startswith(f": row 2 (line 3), column 'a': {said}")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "cp437"])
def test_every_encoding_of_pythons_is_read(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "time,Größe\n2016-07-01,1.5\n".encode(encoding))
    feed = open_feed([path], TableColumns(form=TextForm(encoding=encoding)))
    assert feed.features == ("Größe",)
    assert [batch.values.tolist() for batch in feed] == [[[1.5]]]
    if encoding in ("utf-16", "utf-8-sig"):
        assert open_feed([path], TableColumns()).features == ("Größe",)


def test_an_encoding_that_is_none_or_another_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    for name in ("latin-0", "base64"):
        said = f"--encoding {name!r}: Python knows no such encoding of text"
        assert refused(path, form=TextForm(encoding=name)) == said
    utf_16 = written(tmp_path, PLAIN.encode("utf-16-le"))
    assert refused(utf_16) == ": not text in utf-8: it holds a zero; --encoding utf-16 or utf-16-le?"
    late = b"time,a,note\n" + b"2016-07-01,1,ok\n" * 9000 + b"2016-07-01,1,\xf6\n"
    said = refused(written(tmp_path, late), stream=("note",))
    assert said.startswith(": row 9001 (line 9002), column 'note': ")
    assert said.endswith("--encoding says what it is")


def test_packed_text_is_read_and_named_by_what_is_in_it(tmp_path: Path) -> None:
    plain = written(tmp_path, PLAIN)
    subprocess.run(["zstd", "-q", str(plain)], check=True)
    inside = io.BytesIO()
    with zipfile.ZipFile(inside, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("folder/any.tsv", PLAIN.replace(",", "\t"))
    for path in (tmp_path / "pump.csv.zst", written(tmp_path, inside.getvalue(), "pump.zip")):
        assert read(path) == read(plain)
        assert [batch.streams for batch in open_feed([path], TableColumns())] == [["pump", "pump"]]
    with zipfile.ZipFile(tmp_path / "pump.zip", "a") as packed:
        packed.writestr("other.csv", PLAIN)
    assert refused(tmp_path / "pump.zip") == ": holds 2 files, must be one: unpack it"
    assert refused(written(tmp_path, b"PK\x03\x04rest", "bad.zip")).startswith(": File is not a zip file")


def test_lines_that_are_no_rows_are_left_out_but_not_inside_quotes(tmp_path: Path) -> None:
    text = 'Report of plant 7\n\ntime,note,a\n%,,m\n2016-07-01,"two\n%lines",1\n%,,\n2016-07-02,,bad\nSum: 3\n'
    form = TextForm(skip=1, comments=("%", "Sum"))
    said = refused(written(tmp_path, text), features=("a",), form=form)
    assert said.startswith(": row 2 (line 8), column 'a': 'bad' is not a number")
    good = written(tmp_path, text.replace("bad", "2"))
    assert read(good, form=form)[1] == [[1], [2]]


def test_a_file_of_names_that_are_numbers_is_not_taken_for_data(tmp_path: Path) -> None:
    path = written(tmp_path, "773869,767541\n64.4,67.6\n")
    assert read(path, every_ms=1000, wide=True) == ([0, 0], [[64.4], [67.6]])
    assert "its first row is data, not names" in refused(written(tmp_path, "1467331200.5,1\n1467331201.5,2\n"))


def test_row_numbers_are_no_features_and_what_may_be_is_asked(tmp_path: Path) -> None:
    path = written(tmp_path, "id,time,a\n8,2016-07-01,1\n9,2016-07-01,2\n")
    feed = open_feed([path], TableColumns())
    assert (feed.features, feed.words()[0].endswith("'id' numbers the rows and is left out")) == (("a",), True)
    path = written(tmp_path, "id,time,a\n8,2016-07-01,1\n8,2016-07-01,2\n")
    assert refused(path) == ": does column 'id' measure anything? --features names those that do"
    assert read(path, features=("id", "a"))[1] == [[8, 1], [8, 2]]


def test_a_column_with_few_numbers_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "time,a,rain,place\n" + "2016-07-01,1,-,x\n" * 9 + "2016-07-01,2,0.5,y\n")
    feed = open_feed([path], TableColumns())
    assert feed.features == ("a",)
    assert feed.words()[0].endswith("'rain' is left out: only 1 of its first 10 cells are numbers")
    assert read(path, features=("rain",), missing=("-",))[1] == [[None]] * 9 + [[0.5]]


def test_empty_columns_are_left_out_only_where_the_whole_file_has_nothing(tmp_path: Path) -> None:
    rows = "2016-07-01,1,,\n" * 20_000
    path = written(tmp_path, f"time,a,late,never\n{rows}2016-07-01,1,7,\n")
    feed = open_feed([path], TableColumns())
    assert feed.features == ("a", "late")
    assert "nothing in 'never': left out" in feed.words()[0]
    assert list(feed)[-1].values[-1].tolist() == [1, 7]


def test_a_date_that_is_a_number_is_not_taken_for_an_epoch_in_parquet_either(tmp_path: Path) -> None:
    path = tmp_path / "pump.parquet"
    pq.write_table(pa.table({"time": [1993042812, 1993042813], "a": [1.0, 2.0]}), path)
    said = ": row 1, column 'time': 1993042812 is a date or an epoch number: --time-format %Y%m%d%H, or"
    assert refused(path).startswith(said)
    assert read(path, time_format="%Y%m%d%H")[0] == [735998400000, 735998400000 + 3_600_000]
    assert read(path, time_format="s")[0] == [1993042812000, 1993042813000]
    pq.write_table(pa.table({"time": [1993042812, 1993042893], "a": [1.0, 2.0]}), path)
    assert read(path)[0] == [1993042812000, 1993042893000]


def test_year_month_day_and_hour_columns_are_joined(tmp_path: Path) -> None:
    path = written(tmp_path, "y,m,d,h,a\n2016,7,1,0,5\n2016,7,1,23,6\n")
    got = read(path, time=("y", "m", "d", "h"), time_format="%Y %m %d %H")
    assert got == ([T0, T0 + 23 * 3_600_000], [[5], [6]])


LINES = r"""
# a comment
air\ q,host=a\ b,site=x temp=21.5,n=3i,on=t,note="hi, there=1 \"" 1467331200000000000

air\ q,host=c,site=x temp=22.5,n=4i,on=false 1467331200000000000
air\ q,host=c,site=x temp=23,n=5i 1467331201000000000
"""


def test_line_protocol_is_columns_of_measurement_tags_fields_and_time(tmp_path: Path) -> None:
    path = written(tmp_path, LINES, "air.lp")
    assert refused(path) == ": several series: --stream-column 'measurement,host,site' tells them apart"
    feed = open_feed([path], TableColumns(stream=("measurement", "host")))
    assert feed.features == ("temp", "n", "on")
    [batch] = list(feed)
    assert batch.streams == ["air q/a b", "air q/c", "air q/c"]
    assert batch.time_ms.tolist() == [T0, T0, T0 + 1000]
    np.testing.assert_array_equal(batch.values, [[21.5, 3, 1], [22.5, 4, 0], [23, 5, np.nan]])
    bad = written(tmp_path, LINES + "air temp=1\n", "bad.line")
    assert refused(bad, stream=("host",)) == ": line 7: not measurement,tags fields time: 'air temp=1'"


def test_options_of_the_command_line() -> None:
    assert names('"Wind speed, m/s",b') == ("Wind speed, m/s", "b")
    assert (separator("tab"), separator("\\t"), separator(";")) == ("\t", "\t", ";")
    for columns in (
        TableColumns(one_stream="x", stream=("a",)),
        TableColumns(form=TextForm(decimal=",", thousands=",")),
    ):
        with pytest.raises(DataError, match=r"--stream-column|--thousands"):
            columns.check()


def test_rows_of_one_time_in_one_stream_are_said(tmp_path: Path) -> None:
    feed: Feed = open_feed([written(tmp_path, "time,who,a\n2016-07-01,x,1\n2016-07-01,y,2\n")], TableColumns())
    assert len(list(feed)) == 1
    assert feed.notes() == [f"1 rows have the time of the row before: {HINT}"]

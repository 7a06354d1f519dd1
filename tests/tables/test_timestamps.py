"""Event times of every kind, against the standard library's datetime."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.tables import timestamps
from streamrnn.tables.description import TableColumns

from .wholes import T0, at, parquet, refused, whole, written


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
    got = whole(written(tmp_path, f"time,a\n{text},1\n"), TableColumns(time_format=form))
    assert got.time_ms.tolist() == [T0 + after_ms]


moments = st.datetimes(datetime(1973, 4, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
KINDS = ["s", "ms", "us", "ns", "iso", "zone", "mixed", "%d/%m/%Y %H"]


@given(st.lists(moments, min_size=1), st.sampled_from(KINDS))
def test_columns_of_times_are_read_as_one_by_one(some: list[datetime], kind: str) -> None:
    micros = [(moment - timestamps.EPOCH) // timedelta(microseconds=1) for moment in some]
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
    fast = timestamps.text_times(pa.array(texts), form).tolist()
    assert fast == [timestamps.time_ms(text, form) for text in texts]
    assert fast == [us // unit_us * unit_us // 1000 for us in micros]


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (None, ["2016-07-01 23:24:00", "2016-07-01 23:24:00Z", "2016-07-01T24:00", "2016-07-02 00:00:00.5"]),
        (None, ["2016-07-01 24:00:00", "2016-07-02 00:24:00", "2016-07-02 05:24:00.0", "2016-07-02 24:00:00.0"]),
        ("%d.%m.%Y %H:%M:%S", ["01.07.2016 23:24:00", "01.07.2016 24:00:00", "02.07.2016 00:24:00"]),
        ("%d.%m.%Y %H:%M", ["01.07.2016 23:59", "01.07.2016 24:00", "02.07.2016 00:01"]),
    ],
)
def test_24_00_is_the_end_of_a_day_and_minute_24_is_none(form: str | None, texts: list[str]) -> None:
    got = timestamps.text_times(pa.array(texts), form).tolist()
    plain = [re.sub(r" 24:|T24:", " 00:", text) for text in texts]
    days = [86_400_000 * (text != other) for text, other in zip(texts, plain, strict=True)]
    parse = datetime.fromisoformat if form is None else lambda text: datetime.strptime(text, form)
    moments = [parse(text.removesuffix("Z")).replace(tzinfo=UTC) for text in plain]
    assert got == [round(m.timestamp() * 1000) + day for m, day in zip(moments, days, strict=True)]
    assert got == sorted(got)


@pytest.mark.parametrize("text", ["2016-07-01 24:00:30", "2016-07-01 24:01", "2016-07-01T00:00+24:00", "24:00"])
def test_what_only_looks_like_24_00_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(written(tmp_path, f"time,a\n{text},1\n")).startswith(at(1, 2, "time"))


STAMPS = [f"timestamp[{unit}]" for unit in timestamps.PER_MS]


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
    assert whole(path, TableColumns(time=("when",))).time_ms.tolist() == [T0]

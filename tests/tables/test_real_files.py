"""Real files against the standard library's csv and datetime."""

import csv
import gzip
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrnn.tables.description import TableColumns
from streamrnn.tables.reading import read_table

from .wholes import DATA, whole

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
    columns = TableColumns(**REAL[name])
    table, got = read_table(path, columns), whole(path, columns)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    numbers = [[float("nan" if row[n] in ("", ".") else row[n]) for n in table.numbers] for row in rows]
    np.testing.assert_array_equal(got.values.reshape(len(rows), -1), np.array(numbers, dtype="f8"))
    times = [_time(row[table.time[0]], columns) if table.time else i * 300_000 for i, row in enumerate(rows)]
    assert got.time_ms[:: table.ticks_per_row].tolist() == times
    stem = Path(Path(name).stem).stem
    expected = [row[table.stream[0]] if table.stream else stem for row in rows]
    assert got.streams == (list(table.numbers) * len(rows) if columns.wide else expected)


def _time(text: str, columns: TableColumns) -> int:
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
    got = whole(folder / name, TableColumns(**columns))
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "rt") as text:
        rows = sum(1 for _ in csv.reader(text)) - 1
    assert len(got.streams) == rows * read_table(folder / name, TableColumns(**columns)).ticks_per_row
    assert np.isfinite(got.values).any(axis=0).all()

"""Every file of the awkward ones: with these options read as it is, or refused with the option that helps.

Expected values stand here as a person reads them in the files: first and last of each stream, how many, which are
missing. Both ways of reading are held to them: retrain's batches in float64, and the JSON that replay sends.
"""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from streamrnn.cli import build_parser
from streamrnn.commands.arguments import columns_of
from streamrnn.config import InputSettings
from streamrnn.errors import DataError
from streamrnn.replay.encoding import Places, TickEncoder, chunks
from streamrnn.tables.feed import Feed, open_feed

AWKWARD = Path(__file__).parents[2].parent / "shared" / "data" / "awkward"
pytestmark = pytest.mark.skipif(not AWKWARD.exists(), reason=f"{AWKWARD} is absent")


class Ends(NamedTuple):
    """Of a stream: its ticks, the times and values of its first and last; None is a missing value."""

    ticks: int
    first: str
    first_values: list[Any]
    last: str
    last_values: list[Any]


class Read(NamedTuple):
    """What a command line must come to; missing: of all values; said: in its words, or in its notes."""

    line: str
    features: list[str]
    streams: dict[str, Ends]
    missing: int = 0
    said: tuple[str, ...] = ()


def hours(values: list[Any], last: list[Any]) -> Ends:
    """The commonest: 600 hours of January 2024."""
    return Ends(600, "2024-01-01T00:00:00", values, "2024-01-25T23:00:00", last)


ONE = hours([20.39], [19.44])
TWO = hours([20.39, 1000.0], [19.44, 1299.5])
JAN = Ends(500, "2024-01-01T00:00:00", [0.1257302210933933], "2024-01-21T19:00:00", [-13.444949259009569])
BOTH = Ends(1000, "2024-01-01T00:00:00", [0.1257302210933933], "2024-02-11T15:00:00", [-48.028276762986934])
MACHINE_B = Ends(1000, "2024-01-01T00:00:00", [501.18390191171], "2024-02-11T15:00:00", [491.9771050512744])
OLDEST_FIRST = Ends(300, "2024-01-01T00:00:00", [0.1257302210933933], "2024-01-13T11:00:00", [-10.745076433703332])

READ = [
    Read("blanklines.csv", ["temp"], {"blanklines": ONE}),
    Read("bom.csv", ["temp"], {"bom": ONE}),
    Read("commaname.csv", ["Wind speed, m/s", "Wind dir, deg"], {"commaname": TWO}),
    Read("""commaname.csv --features '"Wind speed, m/s"'""", ["Wind speed, m/s"], {"commaname": ONE}),
    Read("comment.csv", ["temp"], {"comment": ONE}, said=("2 lines '#' before the names left out",)),
    Read("comment.csv --skip 2", ["temp"], {"comment": ONE}),
    Read("comment.csv --comment '#'", ["temp"], {"comment": ONE}),
    Read("constant_train.csv", ["temp", "rain_l"], {"constant_train": Ends(
        3000, "2024-01-01T00:00:00", [20.04, 0.0], "2024-05-04T23:00:00", [18.52, 0.0])}),
    Read("crlf.tsv", ["temp"], {"crlf": ONE}),
    Read("crlf.zip", ["temp"], {"crlf": ONE}),
    Read("dash.csv --missing=-", ["temp", "hum"], {"dash": TWO}, 12, ("--missing '-' occurs 12 times",)),
    Read("dash.csv --features temp", ["temp"], {"dash": ONE}, said=("not used: 'hum'",)),
    Read("date_and_time.csv --time-column date,time", ["v"], {"date_and_time": Ends(
        72, "2024-01-01T00:00:00", [0.1257302210933933], "2024-01-03T23:00:00", [0.6836861907765345])}),
    Read("deccomma.csv", ["temp", "energy"], {"deccomma": TWO}, said=("separator ';'", "decimal comma")),
    Read("deccomma.csv --separator ';' --decimal ,", ["temp", "energy"], {"deccomma": TWO}),
    Read("dwd_10min.csv --time-column MESS_DATUM --time-format %Y%m%d%H%M --features PP_10,TT_10",
        ["PP_10", "TT_10"], {"dwd_10min": Ends(
            3, "1993-04-28T12:30:00", [987.3, 24.9], "1993-04-28T12:50:00", [987.2, 25.5])}),
    Read("dwd_hourly.csv --time-column MESS_DATUM --time-format %Y%m%d%H --stream-column STATIONS_ID",
        ["QN_9", "TT_TU", "RF_TU"],
        {"3": Ends(3, "1993-04-28T12:00:00", [1, 24.9, 28.0], "1993-04-28T14:00:00", [1, 25.5, 20.0])}),
    Read("emptycol.csv", ["temp"], {"emptycol": ONE}, said=("nothing in 'spare': left out",)),
    Read("footer.csv --comment 'Total rows'", ["temp"], {"footer": ONE}),
    Read("grafana_semi.csv", ["temp"], {"grafana_semi": Ends(
        2, "2024-05-06T00:00:00", [21.3], "2024-05-06T00:01:00", [21.4])}, said=("line 'sep=' left out",)),
    Read("h24.csv", ["temp"], {"h24": Ends(3, "2024-01-01T23:00:00", [1], "2024-01-02T01:00:00", [3])}),
    Read("ha_history.csv --time-column last_changed --stream-column entity_id --features state"
        " --missing unavailable --missing unknown", ["state"],
        {"sensor.voltmeter": Ends(3, "2025-12-26T18:00:00", [13.24947], "2025-12-26T18:00:06", [13.25]),
         "sensor.outdoor_temp": Ends(2, "2025-12-26T18:00:05.500", [4.3], "2025-12-26T18:01:05.500", [None]),
         "binary_sensor.pump": Ends(1, "2025-12-26T18:01:07.500", [1.0], "2025-12-26T18:01:07.500", [1.0])}, 2),
    Read("inf.csv --missing inf", ["temp"], {"inf": ONE}, 1, ("--missing 'inf' occurs 1 times",)),
    Read("influx_annotated.csv --stream-column sensor_id,_field", ["_value"],
        {"TLM0100/co": Ends(
            2, "2021-06-11T09:32:25", [0.4801705303428872], "2021-06-11T09:32:35", [0.4802233782602129]),
         "TLM0100/humidity": Ends(2, "2021-06-11T09:32:25", [35.1], "2021-06-11T09:32:35", [35.2]),
         "TLM0101/co": Ends(1, "2021-06-11T09:32:25", [0.51], "2021-06-11T09:32:25", [0.51])}),
    Read("latin1.csv --encoding latin-1", ["Temp °C", "Größe"], {"latin1": TWO}),
    Read("latin1_val.csv --encoding cp1252", ["temp"], {"latin1_val": ONE}),
    Read("m_jan.csv m_feb.csv --stream-column sensor", ["temp"], {"s1": BOTH}),
    Read("m_jan.csv m_feb.csv --one-stream pump", ["temp"], {"pump": BOTH}),
    Read("m_feb.csv m_jan.csv --stream-column sensor --order sort", ["temp"], {"s1": BOTH}),
    Read("m_feb.csv m_jan.csv --wide --one-stream pump --order sort", ["value"], {"pump/temp": BOTH}),
    Read("m_jan.csv", ["temp"], {"m_jan": JAN}, said=("not used: 'sensor'",)),
    Read("machine_a.csv machine_b.csv --wide", ["value"], {"machine_a/temp": BOTH, "machine_b/temp": MACHINE_B},
        said=("'machine_a/temp'", "'machine_b/temp'")),
    Read("machine_a.csv machine_b.csv", ["temp"], {"machine_a": BOTH, "machine_b": MACHINE_B}),
    Read("meter_small.csv", ["wh_total"], {"meter_small": Ends(
        3000, "2024-01-01T00:00:00", [3], "2024-02-01T05:45:00", [9020])}),
    Read("meter_wh.csv", ["wh_total"], {"meter_wh": Ends(
        3000, "2024-01-01T00:00:00", [987654324], "2024-02-01T05:45:00", [987663341])}),
    Read("midc.csv --time-column 'DATE (MM/DD/YYYY),MST' --time-format '%m/%d/%Y %H:%M'"
        " --features 'Temperature @ 2m [deg C]'", ["Temperature @ 2m [deg C]"],
        {"midc": Ends(1440, "2018-10-14T00:00:00", [-4.669], "2018-10-14T23:59:00", [-7.915])}),
    Read("mt4.csv --time-column '<DATE>,<TIME>' --time-format '%Y.%m.%d %H:%M:%S' --features '<CLOSE>,<TICKVOL>'",
        ["<CLOSE>", "<TICKVOL>"],
        {"mt4": Ends(2, "2024-01-02T00:00:00", [1.1045, 1234], "2024-01-02T00:05:00", [1.1046, 1200])}),
    Read("negative_log.csv", ["hum"], {"negative_log": Ends(
        300, "2024-01-01T00:00:00", [-1.1257302210933933], "2024-01-13T11:00:00", [-11.745076433703332])}),
    Read("newest_first.csv --order sort", ["temp"], {"newest_first": OLDEST_FIRST}),
    Read("no_header_metatrader.csv --names time,open,high,low,close,volume --features close,volume",
        ["close", "volume"], {"no_header_metatrader": Ends(
            11, "2007-01-01T00:00:00", [1.3212, 1995282], "2007-01-12T00:00:00", [1.29212, 1901316])}),
    Read("onoff.csv", ["temp"], {"onoff": ONE}, said=("'running' holds on and off", "--features names it")),
    Read("onoff.csv --features temp,running", ["temp", "running"], {"onoff": hours([20.39, 1], [19.44, 0])}),
    Read("panel.csv --stream-column sensor", ["v"], {name: Ends(
        6, "2024-01-01T00:00:00", [0], "2024-01-01T00:00:10", [5]) for name in "abc"}),
    Read("pd_filtered.parquet", ["temp"], {"pd_filtered": Ends(
        1400, "2024-01-01T01:45:00", [0.6059405171917763], "2024-02-01T05:15:00", [0.1598453758071879])},
        said=("'__index_level_0__' numbers the rows",)),
    Read("scales.csv --stream-column sensor", ["value"], {
        "big_kW": Ends(3000, "2024-01-01T00:00:00", [-5.638283266153642], "2024-05-04T23:00:00",
            [-267.09502296008867]),
        "small_bar": Ends(3000, "2024-01-01T00:00:00", [0.028404239383652653], "2024-05-04T23:00:00",
            [5.294653826658894])}),
    Read("sentinel.csv --missing -999", ["temp"], {"sentinel": ONE}, 15, ("--missing '-999' occurs 15 times",)),
    Read("sentinel.csv --missing -9999", ["temp"], {"sentinel": ONE}, said=("--missing '-9999' never occurs",)),
    Read("sentinel.parquet --missing -999", ["temp"], {"sentinel": Ends(
        4, "2024-01-01T00:00:00", [1.5], "2024-01-01T03:00:00", [3.5])}, 1, ("--missing '-999' occurs 1 times",)),
    Read("turbine_id.csv", ["temperature", "humidity", "sound", "anomaly"], {"turbine_id": Ends(
        5000, "2026-02-19T17:15:29", [21.98, 45.06, 68.15, 1], "2026-02-20T09:54:18", [21.62, 44.81, 67.64, 1])},
        said=("'id' numbers the rows and is left out",)),
    Read("two_chunks_swapped.csv --order sort", ["temp"], {"two_chunks_swapped": OLDEST_FIRST}),
    Read("unit.csv --comment ',°C'", ["temp", "hum"], {"unit": TWO}),
    Read("yahoo_multi.csv --time-column Price --comment Ticker --comment Date --features Close,Volume",
        ["Close", "Volume"], {"yahoo_multi": Ends(
            2, "2024-01-02T00:00:00", [185.64, 82488700], "2024-01-03T00:00:00", [184.25, 58414500])}),
]  # fmt: skip

REFUSED = {
    "dash.csv": "row 8 (line 9), column 'hum': '-' is not a number; does it mean a missing one? --missing='-'",
    "date_and_time.csv": "which of 'date', 'time' is the time column? --time-column says, A,B joins two",
    "deccomma.csv --decimal .": "no column holds only numbers: --features",
    "dwd_10min.csv": "which is the time column, or how far apart are the rows?",
    "dwd_10min.csv --time-column MESS_DATUM": "row 1 (line 2), column 'MESS_DATUM': 199304281230 is a date or an epoch"
    " number: --time-format %Y%m%d%H%M, or --time-format ms",
    "dwd_hourly.csv --time-column MESS_DATUM": "row 1 (line 2), column 'MESS_DATUM': 1993042812 is a date or an epoch"
    " number: --time-format %Y%m%d%H, or --time-format s",
    "footer.csv": "row 601 (line 603), Expected 2 columns, got 1: Total rows: 600; --comment 'Total rows: 600'",
    "h24.csv --time-format %H:%M": "time format '%H:%M' has no date: --time-column DATE,TIME joins two columns",
    "ha_history.csv --time-column last_changed --stream-column entity_id --features state": "row 2 (line 3), column 'state': 'unavailable' is not a number; does it mean a missing one? --missing=",
    "inf.csv": "row 51 (line 52), column 'temp': inf is infinite, or too large for float32; --missing=inf",
    "influx_annotated.csv": "several series: --stream-column '_field,_measurement,sensor_id' tells them apart",
    "latin1.csv": "line 1: byte 0xb0 is not utf-8; --encoding says what it is, such as latin-1 or cp1252",
    "latin1_val.csv": "line 102: byte 0xf6 is not utf-8; --encoding says",
    "m_feb.csv m_jan.csv --stream-column sensor": "m_jan.csv: row 1 (line 2), column 'time': 2024-01-01 00:00:00 comes"
    " after 2024-02-11 15:00:00 of the same stream 's1'; --order sort",
    "machine_a.csv machine_b.csv --one-stream x": "machine_b.csv: row 1 (line 2), column 'time': 2024-01-01 00:00:00"
    " comes after 2024-02-11 15:00:00 of the same stream 'x'; --order sort",
    "midc.csv --time-column 'DATE (MM/DD/YYYY),MST'": "row 1 (line 2), column 'DATE (MM/DD/YYYY),MST': Invalid isoformat"
    " string: '10/14/2018 00:00'; its time format (--time-format",
    "mt4.csv --time-column '<DATE>,<TIME>'": "row 1 (line 2), column '<DATE>,<TIME>': Invalid isoformat string:"
    " '2024.01.02 00:00:00'; its time format (--time-format",
    "newest_first.csv": "row 2 (line 3), column 'time': 2024-01-13 10:00:00 comes after 2024-01-13 11:00:00 of the same"
    " stream 'newest_first'; --order sort",
    "no_header_metatrader.csv": "its first row is data, not names: ('2007-01-01 00:00', '1.31908', '1.32176', '1.3165',"
    " '1.3212', '1995282'); --names time,a,b,c,d,e",
    "panel.csv": "row 7 (line 8), column 'time': 2024-01-01 00:00:00 comes after 2024-01-01 00:00:10",
    "two_chunks_swapped.csv": "row 101 (line 102), column 'time': 2024-01-01 00:00:00 comes after 2024-01-13 11:00:00",
    "unit.csv": "row 1 (line 2), column 'temp': '°C' is not a number; does it mean a missing one? --missing='°C',"
    " or --comment=',°C,%'",
    "yahoo_multi.csv --time-column Price": "row 1 (line 2), column 'Adj Close': 'AAPL' is not a number; does it mean a"
    " missing one? --missing='AAPL', or --comment='Ticker,AAPL",
    "commaname.csv --features 'Wind speed, m/s'": "no column 'Wind speed'; did you mean 'Wind speed, m/s'? Put it in"
    " double quotes",
}


def opened(command: str, line: str) -> Feed:
    """The files of a command line as that command opens them."""
    words = [str(AWKWARD / word) if (AWKWARD / word).is_file() else word for word in shlex.split(line)]
    args = build_parser().parse_args([command, *words])
    return open_feed(args.files, columns_of(args))


def ticks(command: str, feed: Feed) -> Iterator[tuple[str, int, list[Any]]]:
    """Stream, time and values of each tick, as retrain takes it or as replay sends it."""
    if command == "retrain":
        for batch in feed:
            yield from zip(batch.streams, batch.time_ms.tolist(), map(nones, batch.values.tolist()), strict=True)
        return
    feed.check_all()
    encoder = TickEncoder(feed.features, InputSettings(), feed.whole)
    for chunk in chunks(feed, encoder, Places(3), None):
        for key, raw in zip(chunk.keys, chunk.values, strict=True):
            value = json.loads(raw)
            yield key.decode(), value["time"], [value.get(name) for name in feed.features]


def nones(values: list[float]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values]


def ends(found: list[tuple[str, int, list[Any]]]) -> dict[str, Ends]:
    """Of each stream, in the order that its ticks come."""
    by_stream: dict[str, list[tuple[int, list[Any]]]] = {}
    for stream, time_ms, values in found:
        by_stream.setdefault(stream, []).append((time_ms, values))
    return {
        stream: Ends(len(some), iso(some[0][0]), some[0][1], iso(some[-1][0]), some[-1][1])
        for stream, some in by_stream.items()
    }


def iso(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms")).removesuffix(".000")


@pytest.mark.parametrize("command", ["retrain", "replay"])
@pytest.mark.parametrize("case", READ, ids=[case.line for case in READ])
def test_a_file_is_read_as_it_is(case: Read, command: str) -> None:
    feed = opened(command, case.line)
    assert list(feed.features) == case.features
    found = list(ticks(command, feed))
    assert ends(found) == case.streams
    assert sum(value is None for _, _, values in found for value in values) == case.missing
    said = "\n".join([*feed.words(), *feed.notes()])
    assert [words for words in case.said if words not in said] == []
    for stream in case.streams:
        times = [time_ms for name, time_ms, _ in found if name == stream]
        assert times == sorted(times)


@pytest.mark.parametrize("command", ["retrain", "replay"])
@pytest.mark.parametrize("line", REFUSED)
def test_a_file_is_refused_with_the_option_that_helps(line: str, command: str) -> None:
    sent = []
    with pytest.raises(DataError) as error:
        sent.extend(ticks(command, opened(command, line)))
    assert REFUSED[line] in str(error.value)
    assert str(error.value).isprintable()
    if command == "replay":
        assert sent == []


@pytest.mark.parametrize("command", ["retrain", "replay"])
def test_every_awkward_file_is_in_the_table(command: str) -> None:
    named = {word for line in [*(case.line for case in READ), *REFUSED] for word in shlex.split(line)}
    assert {path.name for path in AWKWARD.iterdir()} - named == {"README.md"}


def test_replay_merges_streams_that_come_one_after_the_other() -> None:
    found = list(ticks("replay", opened("replay", "panel.csv --stream-column sensor")))
    assert [(stream, values) for stream, _, values in found] == [(s, [v]) for v in range(6) for s in "abc"]


def test_a_counter_is_sent_digit_by_digit() -> None:
    feed = opened("replay", "meter_wh.csv")
    encoder = TickEncoder(feed.features, InputSettings(), feed.whole)
    values = [raw for chunk in chunks(feed, encoder, Places(1), 3) for raw in chunk.values]
    assert [raw.partition(b'"wh_total":')[2] for raw in values] == [b"987654324}", b"987654327}", b"987654330}"]

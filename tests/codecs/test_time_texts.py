"""A time that compiled code reads out of text is the one that its slow twin reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.codecs.compiled.time_texts import NO_MOMENT, moment_ms
from streamrnn.codecs.times import to_time_ms


def read(text: bytes) -> int:
    data = np.frombuffer(b"9" + text + b"9", np.uint8)
    return int(moment_ms(data, np.uint64(1), np.uint64(1 + len(text))))


fractions = st.sampled_from(["", ".", ".5", ".25", ".125", ".999999", ".9999999", ".0009", ",5"])
zones = st.sampled_from(
    ["Z", "", "+00:00", "-00:00", "+05:30", "-23:59", "z", "+24:00", "+05:60", "+0530", "+05", " Z"]
)
seconds = st.builds("{:02d}:{:02d}:{:02d}".format, st.integers(0, 24), st.integers(0, 60), st.integers(0, 60))
days = st.builds("{:04d}-{:02d}-{:02d}".format, st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))
moments = st.builds("{}{}{}{}{}".format, days, st.sampled_from("TT t_"), seconds, fractions, zones).map(str.encode)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    text = bytearray(draw(moments))
    for _ in range(draw(st.integers(0, 2))):
        text[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
    return bytes(text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text)


@settings(max_examples=1500, deadline=None)
@given(moments | damaged())
def test_a_sure_time_is_the_twins(text):
    found = read(text)
    if found != NO_MOMENT:
        assert found == to_time_ms(text.decode(), 0, "auto")


@pytest.mark.parametrize("year", [1900, 1969, 1970, 1972, 2000, 2023, 2024, 2100])
def test_every_day_of_a_year_is_read(year):
    first, after = np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01")
    for day in np.arange(first, after):
        assert read(f"{day}T23:59:59.999Z".encode()) == int(day.astype(int)) * 86_400_000 + 86_399_999
    for text in (f"{year}-02-30", f"{year}-04-31", f"{year}-00-10", f"{year}-13-10", f"{year}-06-00"):
        assert read(f"{text}T00:00:00Z".encode()) == NO_MOMENT


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:01", 1000),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
        ("2023-11-14T22:13:20.1+05:30", 1_700_000_000_100 - 19_800_000),
        ("2023-11-14T22:13:20-00:01", 1_700_000_060_000),
    ],
)
def test_the_common_forms_are_sure(text, time_ms):
    assert read(text.encode()) == time_ms

"""Damaged and random files: read or refused in one printable line, never anything else."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.errors import DataError
from streamrnn.tables.description import TableColumns, TextForm
from streamrnn.tables.feed import open_feed

WHOLE = {
    "csv": b'time,who,"a, b",c\n2016-07-01,"x\ny",1.5,7\n2016-07-01T01:00Z,z,,8\n1467331200,z,NaN,9\n',
    "tsv": "time\tGröße\ton\n01.07.2016 24:00\t1.234,5\ton\n02.07.2016 23:24\t7\toff\n".encode(),
    "lp": b'air\\ q,host=a\\ b temp=1.5,n=3i,s="x, y" 1467331200000000000\nair,host=c temp=2 1467331201000000000\n',
    "csv.gz": b"\x1f\x8b\x08\x00time,a\n1467331200,1\n",
}
PIECES = st.sampled_from([*(bytes([byte]) for byte in b'",;\n\r\t\0\xff#=\\ -'), b"9" * 400])
CHANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9), PIECES | st.binary(max_size=4)), max_size=6)
COLUMNS = st.sampled_from(
    [
        TableColumns(),
        TableColumns(stream=("who",), order="sort"),
        TableColumns(stream=("host",), missing=("-1", "x")),
        TableColumns(wide=True, every_ms=1000, form=TextForm(comments=("#",), skip=1)),
        TableColumns(time_format="%d.%m.%Y %H:%M", form=TextForm(decimal=",", thousands=".", encoding="utf-8")),
        TableColumns(
            features=("a", "b"), form=TextForm(names=("time", "a", "b"), encoding="utf-16", separator=";")
        ),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*WHOLE]), CHANGES, COLUMNS)
def test_a_damaged_file_is_read_or_refused_in_one_line(
    kind: str, changes: list[tuple[int, int, bytes]], columns: TableColumns
) -> None:
    raw = WHOLE[kind]
    for at, length, piece in changes:
        raw = raw[:at] + piece + raw[at + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pump.{kind}"
        path.write_bytes(raw)
        try:
            feed = open_feed([path], columns)
            feed.check_all()
            said = " ".join([*feed.words(), *feed.notes()])
            for batch in feed:
                assert len(batch.streams) == len(batch.time_ms) == len(batch.values)
        except DataError as error:
            said = str(error)
        assert said.isprintable()

"""What a version is refused for before it follows: ticks without its features, and too little memory."""

import json

import msgspec
import numpy as np
import pytest

from streamrnn.config import Settings
from streamrnn.errors import BundleError, EngineError
from streamrnn.metrics import Metrics
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel
from streamrnn.process.memory import available_bytes
from streamrnn.ticks import Record, RecordColumns
from streamrnn.worker.line import Line, make_line
from streamrnn.worker.lineup.hiring import FEWEST, check_memory, check_ticks

from ..conftest import SPEC

WIDER = msgspec.structs.replace(
    SPEC, version=2, features=("x", "humidity"), channels=(Channel("x"), Channel("humidity"))
)


def records(count: int, **values: object) -> RecordColumns:
    value = json.dumps({"time": 1_700_000_000_000} | values).encode()
    return RecordColumns.of([Record(0, n, 1_000 + n, b"s%d" % n, value) for n in range(count)])


def test_a_feature_that_no_tick_has_is_named_and_one_that_some_have_is_no_obstacle() -> None:
    with pytest.raises(BundleError, match="none of the newest 20 ticks has humidity, which toy@2 needs"):
        check_ticks(WIDER, Settings(), records(FEWEST, x=1.0), FEWEST)
    some = RecordColumns.joined([records(FEWEST, x=1.0), records(1, x=1.0, humidity=0.5)])
    check_ticks(WIDER, Settings(), some, len(some))
    check_ticks(WIDER, Settings(), records(FEWEST - 1, x=1.0), FEWEST - 1)


def test_records_of_which_the_serving_model_took_ticks_and_this_one_none_are_an_obstacle() -> None:
    unread = records(3, x="warm")
    with pytest.raises(BundleError, match="toy@2 can read none of the newest 3 records"):
        check_ticks(WIDER, Settings(), unread, 3)
    check_ticks(WIDER, Settings(), unread, 0)


def line(streams: int) -> Line:
    made = make_line(Model(SPEC), Settings(), Metrics())
    ticks = made.decoder.decode(records(streams, x=1.0))[0]

    def step() -> None:
        made.engine.step(ticks)

    made.thread._executor.submit(step).result()
    return made


def test_rows_for_which_there_is_no_memory_are_refused_with_both_figures() -> None:
    serving = line(100)
    needed = 100 * serving.engine.row_bytes
    try:
        check_memory(serving, serving, None)
        check_memory(serving, serving, 2 * needed)
        with pytest.raises(EngineError, match=r"toy@1 needs .* MB for the rows of 100 streams .* MB are left"):
            check_memory(serving, serving, needed)
    finally:
        serving.thread.close(wait=True)


def test_memory_that_is_left_is_that_of_the_machine_or_of_a_smaller_group(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert available_bytes(tmp_path, tmp_path) == 4_096_000
    for name, text in {"max": "3000000", "current": "2500000", "stat": "anon 1\ninactive_file 100000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert available_bytes(tmp_path, tmp_path) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path, tmp_path) == 4_096_000
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None
    assert np.isfinite(available_bytes() or 0)

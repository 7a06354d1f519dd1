"""What ticks cost and streams take as they become many: what is measured, shown and drawn."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from rich.console import Console

from streamrnn.bench.job import Growth, Job, Measured, ScaleRow, StepCost, StepTimes
from streamrnn.bench.picture import picture
from streamrnn.bench.rounds import Results
from streamrnn.bench.scale import _TickMaker, scaled
from streamrnn.bench.scaling import sizes_up_to
from streamrnn.bench.tables import all_of
from streamrnn.commands.benching import run_bench
from streamrnn.errors import ConfigError
from tests.bench.test_bench import arguments

SVG = "{http://www.w3.org/2000/svg}"


def spread(mean_ms: float) -> StepTimes:
    return StepTimes(mean_ms=mean_ms, p999_ms=2 * mean_ms, max_ms=3 * mean_ms)


def row(streams: int, cpu_us: float) -> ScaleRow:
    costs = [StepCost(batch=batch, p50_us=2 * cpu_us, p99_us=9.0, cpu_us=cpu_us) for batch in (8, 64)]
    longest = [(streams // 2, 4.0, 2.0), (streams, 8.0, 3.0)]
    growth = Growth(steps=1000, wall=spread(4.0), cpu=spread(2.0), longest=longest)
    return ScaleRow(
        streams=streams,
        measured_bytes=450.0,
        row_bytes=328.0,
        key_bytes=66.0,
        slot_bytes=26,
        growth=growth,
        costs=costs,
    )


def run(cpu_us: float) -> Measured:
    return Measured(ticks=1, ticks_per_s=1e6 / cpu_us, cpu_us_per_tick=cpu_us)


def results() -> Results:
    return Results(
        scale={10: [row(10, 1.0)], 100_000: [row(100_000, 1.5), row(100_000, 2.5)]},
        partitions={1: [run(2.0), run(4.0)], 256: [run(3.0), run(6.0)]},
    )


def test_sizes_are_powers_of_ten_up_to_the_most() -> None:
    assert sizes_up_to(1000) == [10, 100, 1000]
    assert sizes_up_to(2500) == [10, 100, 1000, 2500]
    assert sizes_up_to(7) == [7]


def test_every_stream_ticks_once_a_turn_in_an_order_that_changes() -> None:
    feed = _TickMaker(50)
    batches = [feed.any(30) for _ in range(10)]
    ticked = np.array([int(key.removeprefix(b"stream-")) for batch in batches for key in batch.streams])
    turns = ticked.reshape(-1, 50)
    assert (np.sort(turns, axis=1) == np.arange(50)).all()
    assert (turns[0] != turns[1]).any()
    assert np.concatenate([batch.offset for batch in batches]).tolist() == list(range(300))


async def test_an_engine_that_grows_is_timed_and_weighed() -> None:
    job = Job(role="scale", bootstrap="", ticks=1, limit_s=0.01, hidden=8, streams=5000, batches=(16, 100))
    measured = await scaled(job)
    assert measured.growth.steps == 5
    assert [streams for streams, _, _ in measured.growth.longest] == [1024, 2048, 3072, 4096, 5000]
    assert 0 < measured.growth.cpu.mean_ms <= measured.growth.cpu.p999_ms <= measured.growth.cpu.max_ms
    assert [cost.batch for cost in measured.costs] == [16, 100]
    assert all(0 < cost.p50_us <= cost.p99_us and cost.cpu_us > 0 for cost in measured.costs)
    assert measured.row_bytes >= 4 * 8
    assert measured.key_bytes >= 50
    assert measured.slot_bytes == 26


def test_the_tables_have_medians_and_ratios() -> None:
    console = Console(width=130, record=True, file=io.StringIO())
    console.print(*all_of(results()))
    shown = [line.strip("│ \n").split() for line in console.export_text().splitlines()]
    cells = [[cell for cell in line if cell != "│"] for line in shown]
    assert [
        "100,000",
        *("4.00", "2.00") * 2,
        "450",
        "328",
        "66",
        "26",
        "2.00",
        "4.00",
        "6.00",
        "(3.0",
        "x)",
    ] in cells
    assert ["256", "250,000", "4.50", "1.500", "x", "0.0", "0.0", "0.0"] in cells


def test_the_picture_is_a_file_of_its_own_with_a_point_for_each_number() -> None:
    root = ElementTree.fromstring(picture(results()))
    assert root.tag == f"{SVG}svg"
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert "100,000: 2" in titles
    assert "256: 4.5" in titles
    drawn = [plot for plot in root.iter(f"{SVG}svg") if plot.get("role") == "img"]
    assert len(drawn) == 3  # no snapshots were measured
    assert not [element for element in root.iter() if {"href", "src", "onload"} & set(element.keys())]


def test_a_single_number_has_a_place_in_the_middle() -> None:
    root = ElementTree.fromstring(picture(Results(partitions={4: [run(2.0)]})))
    assert [dot.get("cx") for dot in root.iter(f"{SVG}circle")] == ["50.000%"]


def test_a_plot_is_refused_where_nothing_that_it_draws_is_measured() -> None:
    with pytest.raises(ConfigError, match="--only scale or partitions"):
        run_bench(arguments("--only", "engine", "--plot", "x.svg"))


@pytest.mark.timeout(240)
def test_a_small_run_says_all_that_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--only scale --rounds 1 --most-streams 1000 --engine-s 0.05 --scale-batches 64 --hidden 16 --device cpu"
    )
    words += f" --partition-counts 1 3 --ticks 20000 --limit-s 2 --plot {tmp_path}/scale.svg"
    assert run_bench(arguments(*words.split())) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report["scale"]) == ["10", "100", "1000"]
    assert msgspec.convert(report["scale"]["1000"], list[ScaleRow])[0].streams == 1000
    assert list(report["written"]) == ["1000"]
    assert all(report["partitions"][count]["cpu_us_per_tick"] > 0 for count in ("1", "3"))
    assert len(ElementTree.parse(tmp_path / "scale.svg").getroot()) > 4

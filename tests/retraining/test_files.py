"""Histories from files: wide ones, several, with missing numbers, and of a feature that never changes."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from .conftest import Retrain, score

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a CSV file of rows a minute apart; a number that is NaN is left out."""

    def file(name: str, columns: Sequence[str], rows: Iterable[Sequence[float]], first: int = 0) -> Path:
        lines = [",".join(["time", *columns])]
        for n, row in enumerate(rows, first):
            cells = ["" if math.isnan(number) else str(number) for number in row]
            lines.append(",".join([str(1_700_000_000 + 60 * n), *cells]))
        path = tmp_path / name
        path.write_text("\n".join(lines))
        return path

    return file


def waves(count: int, columns: int = 1, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, columns)) / 20
    return np.sin(np.arange(count)[:, None] / 5 + np.arange(columns)) + noise


def test_a_wide_file_is_a_stream_for_each_column(retrain: Retrain, write: Write) -> None:
    retrain(write("wide.csv", ("a", "b", "c"), waves(200, 3)), "--wide")
    report = retrain.report(1)
    assert (report.spec.features, report.spec.targets) == (("value",), ("value",))
    assert [(part.ticks, part.streams) for part in report.parts] == [(420, 3), (90, 3), (90, 3)]
    assert report.truths == [[90]]
    assert {sample.stream for sample in report.samples} == {"a", "b", "c"}


def test_several_files_are_one_history_and_each_is_a_stream_of_its_own(retrain: Retrain, write: Write) -> None:
    one, two = (write(f"{name}.csv", ("x",), waves(n)) for name, n in (("one", 100), ("two", 140)))
    retrain(one, two, "--split-each")
    report = retrain.report(1)
    assert [(part.ticks, part.streams) for part in report.parts] == [(168, 2), (36, 2), (36, 2)]
    assert report.source == f"{one}, {two}"
    assert {sample.stream for sample in report.samples} == {"one", "two"}


def test_files_with_other_columns_are_refused(retrain: Retrain, write: Write) -> None:
    one, two = write("one.csv", ("x",), waves(9)), write("two.csv", ("x", "y"), waves(9, 2))
    assert f"{two} has ('x', 'y'), {one} has ('x',)" in retrain(one, two, code=2).err


def test_since_and_until_bound_the_event_times(retrain: Retrain, write: Write) -> None:
    file = write("x.csv", ("x",), waves(300))
    retrain(file, "--since=2023-11-14T22:23:20", "--until=2023-11-15T01:53:20")
    parts = retrain.report(1).parts
    assert sum(part.ticks for part in parts) == 210
    assert (parts[0].from_ms, parts[-1].until_ms) == (1_700_000_600_000, 1_700_013_200_000 - 60_000)


@pytest.mark.parametrize(("policy", "ticks", "refused"), [("reject", 170, 30), ("carry", 200, 0), ("mask", 200, 0)])
def test_ticks_that_the_service_would_refuse_are_left_out_and_counted(
    policy: str, ticks: int, refused: int, retrain: Retrain, write: Write
) -> None:
    rows = waves(200, 2)
    rows[5:20, 0] = rows[10:35, 1] = math.nan
    retrain(write("x.csv", ("x", "y"), rows), f"--on-missing={policy}")
    report = retrain.report(1)
    assert sum(part.ticks for part in report.parts) == ticks
    assert report.dead_letters == ({"missing_feature": refused} if refused else {})


def test_only_what_lies_between_the_bounds_is_counted_as_refused(retrain: Retrain, write: Write) -> None:
    rows = waves(200)
    rows[[3, 150]] = math.nan
    retrain(write("x.csv", ("x",), rows), "--on-missing=reject", "--since=2023-11-14T22:23:20")
    assert retrain.report(1).dead_letters == {"missing_feature": 1}


def test_where_persistence_makes_no_error_nobody_is_compared_to_it(retrain: Retrain, write: Write) -> None:
    values = waves(300, 1)
    values[200:] = 0.1
    said = retrain(write("x.csv", ("x",), values))
    report = retrain.report(1)
    assert score(report, "persistence").overall == 0
    assert said.scores["persistence"] == ["0", "0", "0", ""]
    assert retrain.pointer() is None


def test_a_history_whose_targets_never_change_in_training_is_refused_before_the_fit(
    retrain: Retrain, write: Write
) -> None:
    values = waves(300, 1)
    values[:250] = 0.1
    said = retrain(write("x.csv", ("x",), values), code=2)
    assert "nothing to judge by: the training part holds no value of ['x'] that differs from the rest" in said.err
    assert "epoch" not in said.out
    assert retrain.left() == []


def test_a_target_that_never_changes_in_training_is_left_out_and_said(retrain: Retrain, write: Write) -> None:
    """Its deviation is nothing: in units of that it would be all that counts."""
    values = waves(300, 2)
    values[:250, 1] = 0.0
    said = retrain(write("x.csv", ("x", "rain"), values))
    report = retrain.report(1)
    assert [one.std_mse[0][1] for one in report.scores] == [None] * len(report.scores)
    assert all(one.mse[0][1] is not None for one in report.scores)
    assert all(one.overall == one.std_mse[0][0] for one in report.scores)
    assert "note: rain is constant in the training part: it has no score\n" in said.out
    assert b"rain is constant in the training part: it has no score" in (
        retrain.registry.report("stocks", 1, "report.html") or b""
    )


def test_a_champions_features_are_read_from_a_file_that_has_more(retrain: Retrain, write: Write) -> None:
    file = write("x.csv", ("x", "y", "z"), waves(200, 3))
    retrain(file, "--features=z,x", "--targets=x", "--promote=always")
    retrain(file)
    report = retrain.report(2)
    assert (report.spec.features, report.spec.targets) == (("z", "x"), ("x",))
    assert score(report, "champion").overall == score(report, "model").overall


def test_a_champion_with_features_that_are_not_asked_for_is_not_compared(retrain: Retrain, write: Write) -> None:
    file = write("x.csv", ("x", "y"), waves(200, 2))
    retrain(file, "--targets=x", "--promote=always")
    said = retrain(file, "--features=x")
    assert "or other targets, horizons or features" in said.out
    assert retrain.pointer() == 1


def test_files_of_one_name_are_not_taken_for_one_stream(retrain: Retrain, tmp_path: Path) -> None:
    paths = [tmp_path / folder / "pump.csv" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("time,value\n2024-01-01,1\n2024-01-02,2\n")
    said = retrain.run("retrain", *map(str, paths), "--bundle", str(tmp_path / "out"))
    assert said.code == 2
    assert "files of one name would be one stream" in said.err


def test_times_that_run_back_are_refused_or_sorted_into_the_parts_asked_for(
    retrain: Retrain, write: Write, tmp_path: Path
) -> None:
    file = write("x.csv", ("x",), waves(300))
    names, *rows = file.read_text().split("\n")
    swapped = tmp_path / "swapped.csv"
    swapped.write_text("\n".join([names, *rows[200:], *rows[:200]]))
    said = retrain(swapped, code=2)
    assert "swapped.csv: row 101 (line 102), column 'time': 2023-11-14 22:13:20 comes after" in said.err
    assert "--order sort" in said.err
    retrain(swapped, "--order=sort")
    parts = retrain.report(1).parts
    assert [part.ticks for part in parts] == [210, 45, 45]
    assert [part.from_ms for part in parts] == [1_700_000_000_000 + 60_000 * n for n in (0, 210, 255)]


def test_ticks_that_the_service_drops_for_their_order_are_left_out_and_counted(
    retrain: Retrain, write: Write
) -> None:
    file = write("x.csv", ("x",), waves(200))
    names, *rows = file.read_text().split("\n")
    file.write_text("\n".join([names, *rows[:150], rows[10], rows[149], rows[149], *rows[150:]]))
    retrain(file, "--input.out_of_order=drop", "--input.duplicates=dead-letter")
    report = retrain.report(1)
    assert report.dead_letters == {"out_of_order": 1, "duplicate": 2}
    assert sum(part.ticks for part in report.parts) == 200

"""`streamrnn retrain` from a file to a published, perhaps promoted model."""

import csv
import gzip
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamrnn.engine.engine import Engine
from streamrnn.nn.bundle import load_bundle
from streamrnn.nn.model import Model
from streamrnn.retraining import contest
from streamrnn.ticks import TickBatch
from streamrnn.train.judge import Judgement, judge
from streamrnn.train.retrain_report import RetrainReport

from .conftest import STOCKS, Retrain, Said, score

Rows = list[tuple[int, float, float]]
"""Time in ms, close, volume."""


def stocks(since: str) -> dict[str, Rows]:
    """The file read by hand, symbol by symbol."""
    rows: dict[str, Rows] = {}
    with gzip.open(STOCKS, "rt") as file:
        for row in csv.DictReader(file):
            if row["Date"] >= since:
                time_ms = round(datetime.fromisoformat(row["Date"]).replace(tzinfo=UTC).timestamp() * 1000)
                rows.setdefault(row["Ticker"], []).append((time_ms, float(row["Close"]), float(row["Volume"])))
    return rows


def squared_errors(model: Model, rows: Rows, from_ms: int) -> list[float]:
    """One tick ahead, of the ticks at or after a time; the stream is stepped alone from its first tick."""
    engine, errors, said = Engine(model, max_streams=1), [], 0.0
    for number, (time_ms, close, volume) in enumerate(rows):
        if number and time_ms >= from_ms:
            errors.append((float(np.float32(close)) - said) ** 2)
        times, values = np.array([time_ms]), np.array([[close, volume]], np.float32)
        tick = TickBatch(np.zeros(1, np.int32), np.array([number]), times, times, [b"s"], values, times)
        step = engine.step(tick)
        said = float(step.values[0, 0, 0, 0])
    return errors


def check_printed(said: Said, report: RetrainReport) -> None:
    """The table holds the report's numbers, and the last lines its verdict."""
    persistence = score(report, "persistence").overall
    for one in report.scores:
        numbers = (one.overall, one.overall**0.5, one.overall_mae, one.overall / persistence)
        assert said.scores[one.name] == [f"{number:.4g}" for number in numbers]
    assert len(said.scores) == len(report.scores)
    assert f"{'promoted' if report.verdict.promoted else 'not promoted'}: {report.verdict.reason}\n" in said.out


def test_the_first_model_is_published_and_promoted_if_it_is_better_than_persistence(retrain: Retrain) -> None:
    said, report = retrain.stocks(), retrain.report(1)
    model, naive = score(report, "model").overall, score(report, "persistence").overall
    assert "published stocks@1 at " in said.out
    best = min((one for one in report.scores if one.kind != "model"), key=lambda one: one.overall)
    lead = f"MSE {model:.4g} against {best.overall:.4g} of {best.name}, the best baseline"
    assert report.verdict.reason.startswith(lead)
    [beside] = [one for one in report.comparisons if one.name == "persistence"]
    assert beside.difference == pytest.approx(model - naive)
    has_good = report.streams.share_worse(0) <= 0.1
    assert report.verdict.promoted == (model < naive and beside.is_shown and has_good)
    assert retrain.pointer() == (1 if report.verdict.promoted else None)
    check_printed(said, report)
    files = {Path(name).name for name in retrain.left()} - {"champion.json"}
    assert files == {"model.json", "model.safetensors", "report.json", "report.html"}
    assert b"<html" in (retrain.registry.report("stocks", 1, "report.html") or b"")
    assert report.spec == retrain.registry.load("stocks", 1).spec
    assert [one.kind for one in report.scores] == ["model", "persistence", "ridge"]


def test_a_first_model_that_is_worse_is_published_and_not_promoted(retrain: Retrain) -> None:
    """A network of levels says the mean of five stocks after one epoch."""
    said = retrain.stocks("--predicts=level", "--lags=0", "--hidden=1")
    assert "not promoted: MSE " in said.out
    assert "times worse; not better than persistence; 100.0% of the streams are worse off than " in said.out
    assert (retrain.registry.versions("stocks"), retrain.pointer()) == ([1], None)


def test_its_error_is_that_of_the_published_model_stepped_over_the_file(retrain: Retrain) -> None:
    retrain.stocks()
    report, model, streams = retrain.report(1), retrain.registry.load("stocks", 1), stocks("2011-06-01")
    parts = {part.name: part for part in report.parts}
    seen = {s: [np.float32(c) for t, c, _ in rows if t <= parts["train"].until_ms] for s, rows in streams.items()}
    scales = {stream: np.std(train, dtype=float) for stream, train in seen.items()}
    each = {stream: squared_errors(model, rows, parts["test"].from_ms) for stream, rows in streams.items()}
    errors = [error for own in each.values() for error in own]
    assert report.truths == [[len(errors)]] == [[parts["test"].ticks]]
    assert sum(part.ticks for part in report.parts) == sum(map(len, streams.values()))
    assert report.scale == [pytest.approx(np.median(list(scales.values())), rel=1e-6)]
    assert score(report, "model").mse == [[pytest.approx(np.mean(errors), rel=1e-9)]]
    right = {stream: np.mean(own) / scales[stream] ** 2 for stream, own in each.items()}
    assert score(report, "model").overall == pytest.approx(np.mean(list(right.values())), rel=1e-6)
    listed = {row.stream: (row.truths, row.std_mse[0]) for row in report.streams.rows}
    assert listed == {s: (len(each[s]), pytest.approx(number, rel=1e-6)) for s, number in right.items()}


def test_the_next_one_is_compared_with_the_champion_on_the_same_truths_and_must_beat_it_by_the_margin(
    retrain: Retrain,
) -> None:
    retrain.stocks("--promote=always")
    said, first, second = retrain.stocks("--seed=1"), retrain.report(1), retrain.report(2)
    assert [one.kind for one in second.scores] == ["model", "champion", "persistence", "ridge"]
    assert score(second, "champion").name == "stocks@1"
    assert score(second, "champion").mse == score(first, "model").mse == score(second, "model").mse
    assert second.truths == first.truths
    assert (second.verdict.promoted, second.verdict.champion) == (False, "stocks@1")
    assert "of stocks@1: the same" in second.verdict.reason
    check_printed(said, second)
    assert retrain.pointer() == 1


@pytest.mark.parametrize(("margin", "is_promoted"), [(0.05, True), (0.9999999, False)])
def test_a_much_better_one_is_promoted_unless_the_margin_asks_for_more(
    margin: float, is_promoted: bool, retrain: Retrain
) -> None:
    """The next one's features need no naming: they are the champion's."""
    retrain.stocks("--promote=always", "--predicts=level", "--lags=0", "--hidden=1")
    retrain(STOCKS, "--stream-column=Ticker", "--since=2011-06-01", "--predicts=change", f"--margin={margin}")
    report = retrain.report(2)
    gain = 1 - score(report, "model").overall / score(report, "champion").overall
    assert 0.05 < gain < 0.9999999
    assert report.verdict.promoted == is_promoted
    assert retrain.pointer() == (2 if is_promoted else 1)
    assert report.spec.features == ("Close", "Volume")


def test_a_champion_that_was_chosen_during_the_fit_stays(retrain: Retrain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has compared the new model with it."""
    retrain.stocks("--promote=always", "--predicts=level", "--lags=0", "--hidden=1")
    retrain.stocks("--promote=never")

    def choose_and_judge(*arguments: Any) -> Judgement:
        retrain.registry.set_champion("stocks", 2)
        return judge(*arguments)

    monkeypatch.setattr(contest, "judge", choose_and_judge)
    said = retrain(STOCKS, "--stream-column=Ticker", "--since=2011-06-01", "--predicts=change")
    assert "not promoted: the champion has changed meanwhile, from stocks@1 to stocks@2: MSE " in said.out
    assert (retrain.pointer(), retrain.report(3).verdict.promoted) == (2, False)


def test_never_and_always_are_obeyed(retrain: Retrain) -> None:
    assert "not promoted: asked not to promote; MSE " in retrain.stocks("--promote=never").out
    assert retrain.pointer() is None
    assert "promoted: asked to promote whatever the score" in retrain.stocks("--promote=always").out
    assert retrain.pointer() == 2
    retrain.stocks("--promote=never")
    assert (retrain.pointer(), retrain.registry.versions("stocks")) == (2, [1, 2, 3])


def test_a_champion_with_other_targets_stays(retrain: Retrain) -> None:
    retrain.stocks("--promote=always")
    said = retrain.stocks("--targets=Volume")
    assert "; stocks@1 cannot be compared" in said.out
    assert [one.kind for one in retrain.report(2).scores] == ["model", "persistence", "ridge"]
    assert retrain.pointer() == 1


@pytest.mark.parametrize("policy", ["never", "if-better", "always"])
def test_a_damaged_pointer_is_said_and_stays_as_it_is_unless_the_model_is_promoted(
    policy: str, retrain: Retrain
) -> None:
    retrain.stocks("--promote=always")
    pointer = retrain.root / "stocks" / "champion.json"
    pointer.write_bytes(b"garbage")
    said = retrain.stocks(f"--promote={policy}")
    assert "the champion cannot be compared with: " in said.out
    assert "not a champion pointer" in said.out
    assert retrain.registry.versions("stocks") == [1, 2]
    if policy == "always":
        assert retrain.pointer() == 2
    else:
        assert pointer.read_bytes() == b"garbage"


def test_quantiles_and_horizons_are_judged_each(retrain: Retrain) -> None:
    said = retrain.stocks("--quantiles=0.1,0.5,0.9", "--horizons=1,5")
    report = retrain.report(1)
    assert (report.recipe.loss, report.spec.quantiles, report.spec.horizons) == ("pinball", (0.1, 0.5, 0.9), (1, 5))
    model, naive = score(report, "model"), score(report, "persistence")
    assert naive.coverage is None
    assert model.coverage is not None
    assert model.coverage == sorted(model.coverage)
    assert [len(row) for row in model.mse] == [len(row) for row in report.truths] == [1, 1]
    assert (naive.mse[1][0] or 0) > 2 * (naive.mse[0][0] or 0) > 0
    assert {sample.horizon for sample in report.samples} == {1, 5}
    check_printed(said, report)


def test_a_bundle_is_written_with_its_reports_and_is_nobodys_champion(retrain: Retrain, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    said = retrain.stocks("--promote=always", f"--bundle={folder}")
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.json", "model.safetensors", "report.json", "report.html"}
    assert load_bundle(folder).spec.targets == ("Close",)
    assert b'"promoted":false' in (folder / "report.json").read_bytes()
    assert f"{folder}: written to a folder: " in said.out
    assert retrain.left() == []
    assert f"{folder} exists already" in retrain.stocks(f"--bundle={folder}", code=3).err


def test_ticks_that_the_champion_was_trained_on_are_left_out_and_said(retrain: Retrain) -> None:
    """It has seen 80 of 100 days' ticks and chosen on 5 more; the next one's test part begins at 60."""
    retrain.stocks("--promote=always", "--split=0.8,0.05,0.15")
    first = {part.name: part for part in retrain.report(1).parts}
    said = retrain.stocks("--split=0.5,0.1,0.4")
    report = retrain.report(2)
    test = next(part for part in report.parts if part.name == "test")
    assert test.from_ms > first["validation"].until_ms
    assert test.from_ms == first["test"].from_ms
    assert report.truths == [[test.ticks]] == [[first["test"].ticks]]
    [note] = [note for note in report.notes if "stocks@1" in note]
    assert note.startswith("stocks@1 was trained on ticks up to 2012-")
    assert f"all are judged on the {test.ticks:,} of its " in note
    assert f"note: {note}\n" in said.out


def test_a_champion_whose_training_leaves_too_little_is_said_to_be_flattered(retrain: Retrain) -> None:
    retrain.stocks("--promote=always", "--split=0.9,0.05,0.05")
    said = retrain.stocks("--split=0.5,0.1,0.4")
    assert "note: stocks@1 was trained on ticks up to 2013-" in said.out
    assert "its score is flattered, and too few ticks come after that to judge by\n" in said.out


def test_a_season_longer_than_the_history_is_refused_before_the_fit(retrain: Retrain) -> None:
    said = retrain.stocks("--season=5000", code=2)
    assert re.search(r"--season 5000: the longest stream has \d+ ticks in the training part", said.err)
    assert retrain.left() == []


def test_too_many_streams_worse_off_than_with_persistence_hold_a_model_back(
    retrain: Retrain, tmp_path: Path
) -> None:
    """Three waves that a model can learn, and a walk so small beside them that what it says of it is noise."""
    rng, t = np.random.default_rng(2), np.arange(600)
    streams = [20 * rng.normal(size=600).cumsum(), *(1000 * np.sin(t / 5 + n) for n in range(3))]
    rows = [f"{1_700_000_000 + 60 * at},s{n},{own[at]}" for at in t.tolist() for n, own in enumerate(streams)]
    file = tmp_path / "x.csv"
    file.write_text("\n".join(["time,sensor,x", *rows]) + "\n")
    options = ("--no-live", "--stream-column=sensor", "--epochs=4", "--lags=6", "--hidden=8", "--width=8",
               "--ridge-lags=4", f"--model.registry={retrain.root}", "--name=stocks")  # fmt: skip
    said = retrain.run("retrain", str(file), *options)
    report = retrain.report(1)
    assert score(report, "model").overall < score(report, "persistence").overall
    assert (report.streams.judged, report.streams.worse[0], report.streams.rows[0].stream) == (4, 1, "s0")
    assert "note: worse than persistence on 1 of 4 streams (25.0%): s0 (" in said.out
    assert "25.0% of the streams are worse off than with persistence, at most 10.0% may be" in report.verdict.reason
    assert not report.verdict.promoted
    retrain.run("retrain", str(file), *options, "--max-worse-streams=0.25")
    second = retrain.report(2).verdict
    assert "worse off" not in second.reason
    assert (second.promoted, second.max_worse_streams) == (True, 0.25)

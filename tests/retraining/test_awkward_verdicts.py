"""Verdicts on files that mislead: streams of unlike units, a target that is constant in training, no logarithm."""

from pathlib import Path

import numpy as np
import pytest

from .conftest import SMALL, Retrain, Said

AWKWARD = Path(__file__).parents[2].parent / "shared" / "data" / "awkward"
pytestmark = pytest.mark.skipif(not AWKWARD.exists(), reason=f"{AWKWARD} is absent")


def judged(retrain: Retrain, file: str, *options: str) -> Said:
    fit = ("--no-live", "--epochs=6", "--hidden=16", "--lags=24", "--ridge-lags=24", "--name=stocks")
    return retrain.run("retrain", str(AWKWARD / file), *fit, f"--model.registry={retrain.root}", *options)


def test_kilowatts_do_not_drown_bars(retrain: Retrain) -> None:
    """Persistence's errors by stream worked out from the file: in deviations of each one's first 70 %."""
    said, report = judged(retrain, "scales.csv", "--stream-column=sensor"), retrain.report(1)
    rows = [line.split(",") for line in (AWKWARD / "scales.csv").read_text().splitlines()[1:]]
    listed = {row.stream: row.std_mse for row in report.streams.rows}
    for stream in ("big_kW", "small_bar"):
        values = np.array([row[2] for row in rows if row[1] == stream], np.float32).astype(float)
        test = round(0.85 * len(values))
        right = np.square(np.diff(values[test - 1 :])).mean() / values[: round(0.7 * len(values))].var()
        assert listed[stream][1] == pytest.approx(right, rel=1e-5)
    assert listed["big_kW"][0] < 0.1 * listed["big_kW"][1]
    assert listed["small_bar"][0] > 1.05 * listed["small_bar"][1]
    assert "note: worse than persistence on 1 of 2 streams (50.0%): small_bar (" in said.out
    assert "50.0% of the streams are worse off than with persistence" in report.verdict.reason
    assert not report.verdict.promoted


def test_a_target_that_is_constant_in_training_does_not_decide(retrain: Retrain) -> None:
    said, report = judged(retrain, "constant_train.csv"), retrain.report(1)
    assert "note: rain_l is constant in the training part: it has no score\n" in said.out
    assert [one.target for one in report.unscored] == ["rain_l"]
    assert report.scale[1] is None
    assert all(one.overall == one.std_mse[0][0] and one.overall < 1 for one in report.scores)


def test_what_has_no_logarithm_is_blamed_by_name_value_time_and_option(retrain: Retrain) -> None:
    said = retrain.run(
        "retrain",
        str(AWKWARD / "negative_log.csv"),
        *SMALL,
        f"--model.registry={retrain.root}",
        "--predicts=log_change",
    )
    assert said.code == 2
    assert "hum has no log_change: none of its values is above 0, the first -1.12573 of negative_log" in said.err
    assert "2024-01-01 00:00:00" in said.err
    assert "use --predicts change" in said.err

"""What is said of single streams: bounded, the worst first, and who is worse than persistence on which."""

import math

import numpy as np
import pytest

from streamrnn.retraining.notes import notes_of
from streamrnn.train.beyond import Beyond
from streamrnn.train.judge import Judgement
from streamrnn.train.retrain_report import Score
from streamrnn.train.significance import Difference
from streamrnn.train.stream_scores import ENDS, LEAST_TRUTHS, MOST_ROWS, comparisons, stream_scores, unscored

KINDS = ("model", "champion", "persistence")


def score(kind: str) -> Score:
    return Score(name=f"the {kind}", kind=kind, mse=[[1.0]], mae=[[1.0]], std_mse=[[1.0]], std_mae=[[1.0]])


def found(errors: list[tuple[float, float, float]], truths: int | list[int] = 50) -> Judgement:
    """Errors of model, champion and persistence by stream; NaN: without a score."""
    array = np.array(errors)
    counts = np.where(np.isnan(array[:, 0]), 0, truths)
    nothing = Difference(0.0, math.nan, math.nan, 3)
    return Judgement(
        [[1]], [score(kind) for kind in KINDS], [nothing, Difference(-1.0, 0.25, 0.01, 90), nothing], array, counts,
        np.where(np.isnan(array[:, :1]), np.nan, 1.0), [], Beyond(("x",), (1,)),
    )  # fmt: skip


def names(count: int) -> list[str]:
    return [f"s{n}" for n in range(count)]


NAN = (math.nan,) * 3


def test_streams_are_listed_with_the_worst_beside_persistence_first() -> None:
    """Errors of 4, .5 and 2 times persistence's; a stream without a score is left out."""
    scores = stream_scores(found([(2.0, 1.0, 0.5), NAN, (1.0, 3.0, 2.0), (8.0, 4.0, 4.0)]), names(4))
    assert [(row.stream, row.truths, row.std_mse[0]) for row in scores.rows] == [
        ("s0", 50, 2.0),
        ("s3", 50, 8.0),
        ("s2", 50, 1.0),
    ]
    assert (scores.scored, scores.judged, scores.worse) == (3, 3, [2, 2, 0])
    assert (scores.quantiles[0], scores.quantiles[3], scores.quantiles[-1]) == (0.5, 2.0, 4.0)
    assert scores.share_worse(0) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("model", "persistence", "worse"),
    [(1.04, 1.0, 0), (1.06, 1.0, 1), (0.0, 0.0, 0), (1e-7, 0.0, 0), (1e-3, 0.0, 1), (0.5, 1.0, 0)],
)
def test_worse_is_by_more_than_a_trifle(model: float, persistence: float, worse: int) -> None:
    assert stream_scores(found([(model, 0.0, persistence)]), names(1)).worse[0] == worse


def test_a_stream_with_few_truths_is_listed_and_has_no_say() -> None:
    scores = stream_scores(found([(9.0, 1.0, 1.0), (0.5, 1.0, 1.0)], [LEAST_TRUTHS - 1, LEAST_TRUTHS]), names(2))
    assert (scores.scored, scores.judged, scores.worse[0]) == (2, 1, 0)
    none = stream_scores(found([(9.0, 1.0, 1.0)], [LEAST_TRUTHS - 1]), names(1))
    assert (none.judged, none.share_worse(0)) == (0, 0.0)


def test_of_very_many_streams_the_worst_and_the_best_are_kept() -> None:
    count = MOST_ROWS + 1
    scores = stream_scores(found([(1.0 + n, 1.0, 1.0) for n in range(count)]), names(count))
    kept = [f"s{n}" for n in range(count)][::-1]
    assert [row.stream for row in scores.rows] == kept[:ENDS] + kept[-ENDS:]
    assert (scores.scored, scores.worse[0]) == (count, count - 1)
    few = stream_scores(found([(1.0, 1.0, 1.0)] * MOST_ROWS), names(MOST_ROWS))
    assert len(few.rows) == MOST_ROWS


def test_a_persistence_that_is_always_right_is_infinitely_better() -> None:
    scores = stream_scores(found([(1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]), names(2))
    assert [row.stream for row in scores.rows] == ["s0", "s1"]
    assert (scores.quantiles[0], scores.quantiles[-1]) == (1.0, None)


def test_comparisons_are_those_with_the_others_and_hold_no_nan() -> None:
    champion, persistence = comparisons(found([(1.0, 1.0, 1.0)]))
    assert (champion.name, champion.p, champion.error, champion.is_shown) == ("the champion", 0.01, 0.25, True)
    assert (persistence.p, persistence.error, persistence.moments, persistence.is_shown) == (None, None, 3, False)


def test_notes_name_the_worst_streams_by_how_much_and_what_is_constant() -> None:
    errors = [(2.0, 1.0, 0.05), (1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.5, 1.0, 1.0), NAN]
    judged = found(errors)
    without = unscored(judged, ("rain",), names(6))
    assert [(one.target, one.count, one.of, one.streams) for one in without] == [("rain", 1, 6, ["s5"])]
    constant, worse = notes_of(judged.scores, stream_scores(judged, names(6)), without)
    assert constant == "rain is constant in the training part of 1 of 6 streams and has no score there: s5"
    assert worse == (
        "worse than persistence on 4 of 5 streams (80.0%): s3 (which errs not at all), s0 (40 times its error), "
        "s2 (3 times its error) and 1 more"
    )


def test_of_a_single_stream_the_verdict_says_enough() -> None:
    judged = found([(2.0, 1.0, 1.0)])
    assert notes_of(judged.scores, stream_scores(judged, names(1)), []) == []

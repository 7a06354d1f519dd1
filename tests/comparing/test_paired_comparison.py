"""Comparisons of several workers add up to that of one."""

import math

import numpy as np
import pytest

from streamrnn.comparing import PairedComparison, PairedErrors, merged
from streamrnn.comparing.paired_comparison import MeanDifference

from .said import CHALLENGER, CHAMPION, regular, spec


def worker(*seeds: int, moments: int = 200, since_ms: int = 0) -> PairedComparison:
    """A worker's, of some streams each."""
    kept = PairedErrors(CHAMPION, CHALLENGER, since_ms)
    parts = [np.random.default_rng(seed).integers(-9, 9, size=(2, moments, 3)).astype(float) for seed in seeds]
    both = np.concatenate(parts, axis=2)
    kept.note(regular(both[0]), regular(both[1]))
    return kept.comparison()


def test_sums_are_those_of_one_worker_with_all_the_streams() -> None:
    whole, found = worker(1, 2, 3), merged([worker(1), worker(2, since_ms=70), worker(3)])
    assert found.truths == whole.truths == 1800
    assert found.scores[0][:-1] == whole.scores[0][:-1]
    assert found.since_ms == 70
    assert found.streams == whole.streams


def test_the_error_is_never_below_that_of_one_worker_with_all_the_streams() -> None:
    for seed in range(20):
        parts = [worker(10 * seed + i) for i in range(3)]
        whole = worker(*(10 * seed + i for i in range(3))).scores[0].difference
        found = merged(parts).scores[0].difference
        assert found.mean == pytest.approx(whole.mean)
        assert found.error >= 0.999 * whole.error
        assert found.freedom == min(part.scores[0].difference.freedom for part in parts)


def test_one_workers_is_itself() -> None:
    one = worker(4)
    assert merged([one]) == one._replace(
        pooled=MeanDifference(*map(pytest.approx, one.pooled)),  # type: ignore[arg-type]
        scores=(one.scores[0]._replace(difference=MeanDifference(*map(pytest.approx, one.scores[0].difference))),),  # type: ignore[arg-type]
    )


def test_a_worker_with_few_moments_adds_its_sums_and_spoils_no_error() -> None:
    found = merged([worker(1), worker(2, moments=5), PairedErrors(CHAMPION, CHALLENGER, 0).comparison()])
    assert found.scores[0].truths == 615
    assert found.scores[0].difference == MeanDifference(*map(pytest.approx, worker(1).scores[0].difference))  # type: ignore[arg-type]
    few = merged([worker(1, moments=4), worker(2, moments=5)])
    assert few.pooled.mean == pytest.approx(few.pooled.mean)
    assert math.isnan(few.pooled.p)


def test_comparisons_of_other_models_do_not_add_up() -> None:
    other = PairedErrors(CHAMPION, spec("newer"), 0).comparison()
    with pytest.raises(ValueError, match="not all are of new@1 beside old@1"):
        merged([worker(1), other])

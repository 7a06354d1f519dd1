"""`streamrnn models compare`: live errors of two models summed over workers, with the chance of the difference."""

import json
import math

import pytest

from streamrnn.models.comparison import comparisons
from streamrnn.registry import Registry
from tests.models.published import Run
from tests.models.reported import compared, say
from tests.models.test_models_status import ESCAPE, rows

FOLLOWS = {"challenger": "oil@3"}


def test_the_sum_over_workers_is_that_of_all_their_truths(registry: Registry) -> None:
    """Against the sums themselves: squares of each worker's streams, put together."""
    say(registry, "a", comparison=[compared(300, 0.5, 0.4, error=0.02)], share_better=0.9, since_ms=7, **FOLLOWS)
    say(registry, "b", comparison=[compared(100, 0.9, 1.0, error=0.06)], share_better=0.1, since_ms=5, **FOLLOWS)
    (pair,) = comparisons(registry, "oil")
    assert (pair.champion, pair.challenger, pair.workers, pair.since_ms) == ("oil@2", "oil@3", 2, 5)
    (summed,) = pair.targets
    assert (summed.truths, pair.truths) == (400, 400)
    assert summed.champion_mse == pytest.approx((300 * 0.5 + 100 * 0.9) / 400)
    assert summed.challenger_mse == pytest.approx((300 * 0.4 + 100 * 1.0) / 400)
    assert summed.champion_mse is not None
    assert summed.challenger_mse is not None
    assert summed.difference == pytest.approx(summed.challenger_mse - summed.champion_mse)
    assert summed.error == pytest.approx(math.hypot(300 * 0.02, 100 * 0.06) / 400)
    assert pair.share_better == pytest.approx((300 * 0.9 + 100 * 0.1) / 400)


def test_the_chance_is_that_of_a_normal_so_far_below_nothing(registry: Registry) -> None:
    for z, p in ((0.0, 0.5), (-1.6449, 0.05), (1.6449, 0.95), (-2.3263, 0.01)):
        for worker in ("a", "b"):
            entry = compared(100, 1.0, 1.0 + z * 0.1 * math.sqrt(2) / math.sqrt(2), error=0.1 * math.sqrt(2))
            say(registry, worker, comparison=[entry], **FOLLOWS)
        assert comparisons(registry, "oil")[0].targets[0].p == pytest.approx(p, abs=1e-4)


def test_what_one_worker_alone_knows_stays_as_it_is(registry: Registry) -> None:
    entry = compared(100, 1.0, 0.9, error=0.1, p=0.2)
    say(registry, "a", comparison=[entry, compared(50, 1.0, 2.0, horizon=24)], **FOLLOWS)
    say(registry, "b", comparison=[compared(0, None, None)], **FOLLOWS)
    first, second = comparisons(registry, "oil")[0].targets
    assert first == entry
    assert (second.horizon, second.truths) == (24, 50)


def test_an_error_that_one_worker_does_not_know_is_not_made_up(registry: Registry) -> None:
    say(registry, "a", comparison=[compared(100, 1.0, 0.9, error=0.1)], **FOLLOWS)
    say(registry, "b", comparison=[compared(10, 1.0, 0.9)], **FOLLOWS)
    (summed,) = comparisons(registry, "oil")[0].targets
    assert (summed.difference, summed.error, summed.p) == (pytest.approx(-0.1), None, None)


def test_pairs_groups_and_silent_workers_are_told_apart(registry: Registry) -> None:
    say(registry, "a", comparison=[compared(10, 1.0, 0.9)], **FOLLOWS)
    say(registry, "b", comparison=[compared(99, 1.0, 0.9)], challenger="oil@1")
    say(registry, "c", comparison=[compared(50, 1.0, 0.9)], group="another", **FOLLOWS)
    say(registry, "silent", comparison=[compared(10**6, 1.0, 0.9)], ago_s=100, **FOLLOWS)
    say(registry, "alone", comparison=[compared(10**6, 1.0, 0.9)])
    assert [(pair.challenger, pair.truths) for pair in comparisons(registry, "oil")] == [
        ("oil@1", 99),
        ("oil@3", 60),
    ]
    assert [pair.truths for pair in comparisons(registry, "oil", "another")] == [50]


def test_the_table_shows_errors_difference_and_chance_and_fits_80_columns(
    registry: Registry, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    near = compared(1_234_567, 0.12434, 0.12, error=0.00104, p=0.0000126)
    far = compared(12_000, 0.5, 0.6, horizon=24, error=0.012, p=0.99)
    say(registry, "a", comparison=[near, far], share_better=0.776, since_ms=1_795_730_206_866, **FOLLOWS)
    shown = run("compare", "oil")
    assert rows(shown) == [
        ["OT", "1", "1,234,567", "0.1243", "0.12", "-0.0043 ± 0.001", "< 0.001"],
        ["OT", "24", "12,000", "0.5", "0.6", "+0.1 ± 0.01", "0.990"],
    ]
    assert max(len(line) for line in shown.splitlines() if "│" in line) <= 80
    assert "oil@3 beside oil@2 since 2026-11-26 21:56 UTC on 1 worker, better on 78 % of the streams" in shown


def test_json_has_the_same(registry: Registry, run: Run) -> None:
    say(registry, "a", comparison=[compared(10, 1.0, 0.5)], since_ms=3, **FOLLOWS)
    (found,) = json.loads(run("compare", "oil", "--json"))
    assert (found["champion"], found["challenger"], found["truths"], found["since_ms"]) == ("oil@2", "oil@3", 10, 3)
    assert found["targets"][0]["difference"] == -0.5


def test_without_a_comparison_that_is_said(registry: Registry, run: Run) -> None:
    none = "no worker compares two models of oil now; see streamrnn models status oil\n"
    assert run("compare", "oil") == none
    assert json.loads(run("compare", "oil", "--json")) == []
    say(registry, "a", comparison=[compared(0, None, None, target=f"x{ESCAPE}[b]")], **FOLLOWS)
    assert r"x\x1b]0;owned" in run("compare", "oil")

"""Sums over pairs of errors are those of an oracle that takes tick by tick, whatever comes, however it comes."""

import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamrnn.comparing import CompareBounds, PairedErrors
from streamrnn.comparing.moment_sums import HELD, SHRUNK
from streamrnn.comparing.stream_sums import FIRST, LATEST, SECRET, TICKS
from streamrnn.engine.engine import Engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Spans, TickBatch

from .said import CHALLENGER, CHAMPION, Log, make_log, regular, said, spec

OLD, NEW = spec("old", ("a", "b"), (1, 3)), spec("new", ("b", "c", "a"), (1, 2, 3))
CELLS = (("a", 1, 0, 2), ("b", 1, 1, 0), ("a", 3, 2, 8), ("b", 3, 3, 6))
"""Target, horizon, and where each lies among the misses of the two."""


class Case(NamedTuple):
    """A log, the rows that each took, what each missed of all rows (n, K', O)."""

    log: Log
    took: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    misses: tuple[NDArray[np.float64], NDArray[np.float64]]

    def note(self, into: PairedErrors, start: int, stop: int) -> None:
        parts = []
        for took, misses in zip(self.took, self.misses, strict=True):
            rows = start + np.flatnonzero(took[start:stop])
            parts.append(said(self.log.ticks(rows), misses[rows]))
        into.note(*parts)


def make_case(seed: int, n: int, streams: int = 8, span_ms: int = 100_000) -> Case:
    rng = np.random.default_rng(seed)
    misses = []
    for shape in ((2, 2), (3, 3)):
        errors = rng.normal(size=(n, *shape)) * 10.0 ** rng.integers(-3, 4, size=shape)
        errors[rng.random(errors.shape) < 0.2] = np.nan
        strange = rng.random(errors.shape) < 0.03
        errors[strange] = rng.choice([np.inf, -np.inf, 1e61, -1e300, 0.0], size=int(strange.sum()))
        misses.append(errors)
    took = tuple(rng.random(n) < share for share in (0.9, 0.8))
    return Case(make_log(rng, n, streams, span_ms), took, tuple(misses))


class Pair(NamedTuple):
    row: int
    cell: int
    ours: float
    theirs: float


def pairs_of(case: Case) -> list[Pair]:
    """Every pair that counts, in order."""
    flat = [misses.reshape(len(misses), -1) for misses in case.misses]
    found = []
    for row in range(len(case.log.streams)):
        for cell, (_, _, at, place) in enumerate(CELLS):
            ours, theirs = float(flat[0][row, at]), float(flat[1][row, place])
            if case.took[0][row] and case.took[1][row] and abs(ours) <= 1e60 and abs(theirs) <= 1e60:
                found.append(Pair(row, cell, ours, theirs))
    return found


def unpaired_of(case: Case, cell: int) -> tuple[int, int]:
    """Unpaired and beyond."""
    _, _, *places = CELLS[cell]
    numbers = [
        np.where(took, misses.reshape(len(misses), -1)[:, place], np.nan)
        for took, misses, place in zip(case.took, case.misses, places, strict=True)
    ]
    known = ~np.isnan(numbers)
    absurd = known.all(axis=0) & ~(np.abs(numbers) <= 1e60).all(axis=0)
    return int((known[0] ^ known[1]).sum()), int(absurd.sum())


def noted(case: Case, cuts: list[int], bounds: CompareBounds = CompareBounds()) -> PairedErrors:  # noqa: B008
    kept, at = PairedErrors(OLD, NEW, 0, bounds), 0
    for size in [*cuts, len(case.log.streams)]:
        case.note(kept, at, min(at + size, len(case.log.streams)))
        at = min(at + size, len(case.log.streams))
    return kept


def moments_of(kept: PairedErrors) -> dict[int, tuple[list[float], list[float]]]:
    own = kept._moments
    rows = range(own.counts[HELD])
    return {int(own.begins[r]): (own.difference[r].tolist(), own.weight[r].tolist()) for r in rows}


def bits_of(kept: PairedErrors) -> bytes:
    arrays = []
    for own in (kept._moments, kept._streams):
        held = own.counts[HELD]
        arrays += [array[:held] for array in own if array.ndim == 2 or array is own[1]]
        arrays.append(own.counts[:2])
    return b"".join(array.tobytes() for array in [kept._sums, *arrays])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.lists(st.integers(0, 40), max_size=6))
def test_sums_are_those_of_an_oracle_however_ticks_come_in_batches(seed: int, n: int, cuts: list[int]) -> None:
    case = make_case(seed, n)
    pairs, kept = pairs_of(case), noted(case, cuts)
    found = kept.comparison()
    assert found.truths == len({pair.row for pair in pairs})
    assert [(score.target, score.horizon) for score in found.scores] == [cell[:2] for cell in CELLS]
    for cell, score in enumerate(found.scores):
        own = [pair for pair in pairs if pair.cell == cell]
        assert (score.truths, (score.unpaired, score.beyond)) == (len(own), unpaired_of(case, cell))
        assert score.champion_squared == sum(pair.ours * pair.ours for pair in own)
        assert score.challenger_squared == sum(pair.theirs * pair.theirs for pair in own)
        assert score.champion_absolute == sum(abs(pair.ours) for pair in own)
        assert score.challenger_absolute == sum(abs(pair.theirs) for pair in own)
        if own:
            assert score.champion_mse == score.champion_squared / len(own)
            assert score.challenger_mae == score.challenger_absolute / len(own)
        else:
            assert math.isnan(score.champion_mse)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 200),
    st.sampled_from([3, 16, 64, 2048]),
    st.sampled_from([1, 100, 10**5, 10**13]),
)
def test_moments_are_the_shortest_that_there_is_room_for(seed: int, n: int, most: int, span_ms: int) -> None:
    case = make_case(seed, n, span_ms=span_ms)
    pairs = pairs_of(case)
    kept = noted(case, [n // 3, n // 5], CompareBounds(moments=most))
    times = {int(case.log.time_ms[pair.row]) for pair in pairs}
    bits = next(bits for bits in range(64) if len({time >> bits for time in times}) <= most)
    assert kept._moments.counts[SHRUNK] == bits
    expected: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros((2, len(CELLS))))
    for pair in pairs:
        sums = expected[int(case.log.time_ms[pair.row]) >> bits]
        sums[:, pair.cell] += pair.theirs**2 - pair.ours**2, 1
    found = moments_of(kept)
    assert found.keys() == expected.keys()
    for begin, (difference, weight) in found.items():
        assert weight == expected[begin][1].tolist()
        assert difference == pytest.approx(expected[begin][0].tolist(), rel=1e-9, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 200), st.sampled_from([2, 5, 40]))
def test_streams_that_are_kept_have_all_their_ticks(seed: int, n: int, most: int) -> None:
    case = make_case(seed, n, streams=30)
    kept = noted(case, [n // 2], CompareBounds(streams=most))
    expected: dict[tuple[int, bytes], list[Pair]] = defaultdict(list)
    for pair in pairs_of(case):
        expected[int(case.log.partition[pair.row]), case.log.streams[pair.row]].append(pair)
    own = kept._streams
    held = own.counts[HELD]
    assert held <= most
    assert held == len(expected) or own.counts[SHRUNK]
    wanted = set()
    for pairs in expected.values():
        rows = {pair.row for pair in pairs}
        times = [int(case.log.time_ms[row]) for row in rows]
        sums = [0.0] * len(CELLS)
        for pair in pairs:
            sums[pair.cell] += pair.theirs * pair.theirs - pair.ours * pair.ours
        wanted.add((len(rows), min(times), max(times), *sums))
    columns = own.held[:held][:, [TICKS, FIRST, LATEST]].tolist()
    assert {(*row, *sums) for row, sums in zip(columns, own.difference[:held].tolist(), strict=True)} <= wanted


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 70), max_size=8), st.sampled_from([3, 50, 2048]))
def test_all_that_is_kept_has_the_same_bits_however_ticks_come_in_batches(
    seed: int, cuts: list[int], most: int
) -> None:
    case, bounds = make_case(seed, 150, streams=40), CompareBounds(moments=most, streams=most)
    assert bits_of(noted(case, cuts, bounds)) == bits_of(noted(case, [], bounds))


def many_keys(n: int) -> Spans:
    return Spans(np.arange(n).view(np.uint8), 8 * np.arange(n), np.full(n, 8))


def test_a_million_moments_and_a_million_streams_take_no_more_than_few() -> None:
    n, rng = 1_000_000, np.random.default_rng(5)
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    before, at = kept.nbytes, np.arange(n)
    assert before < 6_000_000
    parts = np.zeros(n, np.int32)
    ticks = TickBatch(parts, at, 7919 * at, at, many_keys(n), np.zeros((n, 1), np.float32), at)
    errors = rng.normal(size=(2, n, 1, 1))
    kept.note(said(ticks, errors[0]), said(ticks, errors[1]))
    assert kept.nbytes == before
    found = kept.comparison().scores[0]
    assert found.truths == n == kept._moments.weight[: kept._moments.counts[HELD]].sum()
    assert found.difference.mean == pytest.approx((errors[1] ** 2 - errors[0] ** 2).mean())
    assert 1024 <= kept._moments.counts[HELD] <= 2048
    assert kept._streams.counts[:2].tolist() == [pytest.approx(n / 16, rel=0.05), 4]


def test_two_tables_look_for_a_stream_in_places_of_their_own() -> None:
    """Whoever knows the code knows each key's hash, and chooses keys that fall together in one table at most."""
    secrets = {int(PairedErrors(CHAMPION, CHALLENGER, 0)._streams.counts[SECRET]) for _ in range(5)}
    assert len(secrets) == 5
    assert all(secret % 2 for secret in secrets)


def test_the_more_cells_the_fewer_streams() -> None:
    assert CompareBounds().streams_of(1) == 100_000
    assert (32 + 8 * 100) * CompareBounds().streams_of(100) <= 32 << 20


def test_equal_models_differ_by_nothing() -> None:
    errors = np.random.default_rng(0).normal(size=(200, 9))
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    kept.note(regular(errors), regular(errors))
    found = kept.comparison()
    assert found.pooled[:3] == found.scores[0].difference[:3] == (0.0, 0.0, 0.5)
    assert found.streams == (0, 9)


def test_the_share_of_streams_is_told_of_those_with_enough_truths() -> None:
    errors = np.ones((30, 10))
    errors[:, 4] = np.nan
    errors[9, 4] = 1.0
    errors[:21, 5] = np.nan
    better = np.where(np.arange(10) < 6, 0.5, 1.5) * errors
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    kept.note(regular(errors), regular(better))
    assert kept.comparison().streams == (4, 8)
    kept.note(regular(errors, first=30), regular(better, first=30))
    assert kept.comparison().streams == (5, 9)


def test_of_more_streams_than_there_is_room_for_a_fair_sample_is_judged() -> None:
    errors = np.ones((10, 20_000))
    better = np.where(np.arange(20_000) % 10 < 7, 0.5, 1.5) * errors
    kept = PairedErrors(CHAMPION, CHALLENGER, 0, CompareBounds(streams=2000))
    kept.note(regular(errors), regular(better))
    streams = kept.comparison().streams
    assert 1000 < streams.judged <= 2000
    assert streams.share == pytest.approx(0.7, abs=0.04)


def test_a_target_in_millions_decides_no_more_than_one_in_thousandths() -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(size=(100, 5, 1, 2)) * [1e6, 1e-3]
    better = errors * [1.1, 0.5]
    kept = PairedErrors(spec("old", ("big", "small")), spec("new", ("big", "small")), 0)
    kept.note(regular(errors), regular(better))
    assert kept.comparison().pooled.mean == pytest.approx((0.21 - 0.75) / 2)
    assert kept.comparison().streams == (5, 5)


def test_where_the_champion_never_errs_a_challenger_that_does_is_worse() -> None:
    none = np.zeros((100, 3))
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    kept.note(regular(none), regular(none + 0.1))
    assert kept.comparison().pooled[:3] == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))


def test_what_is_forecast_far_ahead_counts_for_fewer_moments() -> None:
    """Errors of forecasts 24 ticks ahead overlap: so long are the cosines."""
    errors = np.random.default_rng(1).normal(size=(2, 600, 4, 2, 1))
    far = [spec(name, horizons=(1, 24)) for name in ("old", "new")]
    kept = PairedErrors(far[0], far[1], 0)
    kept.note(regular(errors[0]), regular(errors[1]))
    found = kept.comparison()
    assert [score.difference.freedom for score in found.scores] == [28, 12]
    assert found.pooled.freedom == 12


def test_streams_that_tick_in_turns_have_many_moments_between_their_ticks() -> None:
    """Fifty streams in turns, each at every fiftieth moment: what is one tick ahead is fifty moments ahead."""
    n = 1000
    at = np.arange(n)
    keys = [b"s%d" % (i % 50) for i in range(n)]
    ticks = TickBatch(np.zeros(n, np.int32), at, at, at, keys, np.zeros((n, 1), np.float32), at)
    errors = np.random.default_rng(1).normal(size=(2, n, 1, 1))
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    kept.note(said(ticks, errors[0]), said(ticks, errors[1]))
    assert kept.comparison().pooled.freedom == 10
    assert kept._moments_a_tick(np.sort(kept._moments.begins[:n])) == pytest.approx(50, abs=3)


def test_a_batch_that_tells_no_misses_says_nothing() -> None:
    kept = PairedErrors(CHAMPION, CHALLENGER, 0)
    one = regular(np.ones((3, 3)))
    kept.note(one, said(one.ticks, None))
    kept.note(said(one.ticks, None), one)
    assert kept.comparison().truths == kept.comparison().scores[0].unpaired == 0


def test_models_with_nothing_in_common_are_compared_on_nothing() -> None:
    kept = PairedErrors(CHAMPION, spec("new", ("wind",)), 0)
    kept.note(regular(np.ones((3, 3))), regular(np.ones((3, 3))))
    found = kept.comparison()
    assert found.truths == 0
    assert found.scores == ()
    assert math.isnan(found.pooled.mean)


def make_engine(model: ModelSpec) -> Engine:
    return Engine(Model(model), max_streams=50, device="cpu", executor="blocks", block=16)


def test_two_engines_are_compared_on_the_truths_that_both_had_forecast() -> None:
    """The challenger lacks some of the ticks, reads another feature, and looks otherwise far ahead."""
    old = ModelSpec(name="old", features=("temp",), targets=("temp",), channels=(Channel("temp"),), horizons=(1, 2))
    new = ModelSpec(
        name="new", features=("load", "temp"), targets=("temp",), channels=(Channel("load"),), horizons=(1, 4)
    )
    rng, n = np.random.default_rng(2), 120
    log = make_log(rng, n, 4)
    values = rng.normal(size=(n, 2)).astype(np.float32)
    took = np.flatnonzero(rng.random(n) < 0.9)
    engines, kept = [make_engine(model) for model in (old, new)], PairedErrors(old, new, 0)
    expected = {}
    for rows in (np.arange(70), np.arange(70, n)):
        theirs = np.intersect1d(rows, took)
        inputs = [(log.ticks(rows), values[rows, 1:]), (log.ticks(theirs), values[theirs])]
        told = []
        for engine, (ticks, columns) in zip(engines, inputs, strict=True):
            whole = TickBatch(**{name: getattr(ticks, name) for name in TickBatch.__slots__} | {"values": columns})
            told.append(engine.step(whole, has_misses=True))
            for place, miss in zip(whole.places(), told[-1].residual[:, 0].tolist(), strict=True):
                expected.setdefault(place, []).append(miss)
        kept.note(*told)
    both = np.array([pair for pair in expected.values() if len(pair) == 2 and not np.isnan(pair).any()])
    (score,) = kept.comparison().scores
    assert score.truths == len(both) > 50
    assert score.champion_squared == pytest.approx(np.square(both[:, 0]).sum(), rel=1e-5)
    assert score.challenger_squared == pytest.approx(np.square(both[:, 1]).sum(), rel=1e-5)

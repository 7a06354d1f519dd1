"""Who is judged beside the new model, on which ticks, and what the report says of it. Decides by verdict.py."""

import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.spec import ModelSpec
from streamrnn.nn.truths import truths_of
from streamrnn.retraining.champion import ServingModel
from streamrnn.retraining.fairness import fair_part
from streamrnn.retraining.fitting import Made
from streamrnn.retraining.forecaster import Served
from streamrnn.retraining.job_history import JobHistory
from streamrnn.retraining.notes import notes_of
from streamrnn.retraining.request import Judging, RetrainRequest
from streamrnn.retraining.shrinking import shrink
from streamrnn.retraining.verdict import Evidence, PromotionRules, decide
from streamrnn.train.baselines import Forecaster, Persistence, RidgeAR, SeasonalNaive, season_of
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.judge import Judgement, judge
from streamrnn.train.retrain_report import RetrainReport, SplitPart, Verdict
from streamrnn.train.scales import error_scales, typical
from streamrnn.train.stream_scores import comparisons, stream_scores, unscored
from streamrnn.train.swamping import swamping


class Case(NamedTuple):
    """What there is to judge: the job, its history and how that was parted, the model made of it, who serves now;
    scales (S, O) of errors; what was noted on the way."""

    job: RetrainRequest
    source: JobHistory
    split: Split
    made: Made
    champion: ServingModel | None
    scales: NDArray[np.float64]
    notes: list[str]


def check_season(season: int | None, train: Sequence[Extent]) -> None:
    """ConfigError for one asked for that is longer than all that is known: its forecast would be persistence's."""
    longest = max(extent.length for extent in train)
    if season and season > longest:
        raise ConfigError(f"--season {season}: the longest stream has {longest:,} ticks in the training part")


def scales_to_judge_by(history: History, train: Sequence[Extent], targets: Sequence[str]) -> NDArray[np.float64]:
    """(S, O); DataError where nothing has one, which is to be known before anything is fitted."""
    scales = error_scales(history, train, targets)
    if np.isnan(scales).all():
        why = "nothing to judge by: the training part holds no value of"
        raise DataError(f"{why} {list(targets)} that differs from the rest; name others with --targets")
    return scales


def judge_case(case: Case, began_s: float) -> RetrainReport:
    """Shrink where validation says so, score everybody on the test part, decide."""
    spec, history, model = case.made.spec, case.source.history, case.made.fitted.model
    shrink(model, history, case.split.train, case.split.validation)
    test, said = fair_part(history, case.split, case.champion, max(spec.horizons), case.job.excerpt.split_each)
    ours = Served("new model", "model", model, spec.horizons)
    everybody = [ours, *_rivals(history, case.split, spec, case.champion, case.job.judging)]
    truths = truths_of(model, spec.horizons)
    found = judge(history, test, everybody, spec.targets, spec.horizons, case.scales, truths)
    if ours.poisoned:
        raise DataError(f"{ours.poisoned:,} ticks make the model's state or prediction not finite; not published")
    swamped = swamping(history, test, spec.targets, spec.horizons, found, truths)
    case.notes.extend([*said, *found.beyond.notes(), *([swamped.words()] if swamped else [])])
    return _report(case, case.split._replace(test=test), found, began_s)


def _rivals(
    history: History, split: Split, spec: ModelSpec, champion: ServingModel | None, asked: Judging
) -> list[Forecaster]:
    """The champion if it can be compared, then the baselines."""
    everybody: list[Forecaster] = []
    if champion and champion.model and _is_comparable(champion.model.spec, spec, history.features):
        everybody.append(Served(champion.label, "champion", champion.model, spec.horizons))
    everybody.append(Persistence(spec.targets, spec.horizons))
    season = asked.season or season_of(history, split.train)
    if season:
        everybody.append(SeasonalNaive(spec.targets, spec.horizons, season))
    everybody.append(RidgeAR(history, split, spec.targets, spec.horizons, asked.ridge_lags))
    return everybody


def _is_comparable(theirs: ModelSpec, ours: ModelSpec, features: tuple[str, ...]) -> bool:
    has_horizons = set(ours.horizons) <= set(theirs.horizons)
    return theirs.targets == ours.targets and has_horizons and set(theirs.features) <= set(features)


def _verdict(asked: Judging, found: Evidence, champion: ServingModel | None) -> Verdict:
    rules = PromotionRules(asked.policy, asked.margin, asked.max_worse_streams)
    verdict = decide(rules, found, champion.label if champion else None)
    if asked.bundle is None:
        return verdict
    return msgspec.structs.replace(verdict, promoted=False, reason=f"written to a folder: {verdict.reason}")


def _report(case: Case, split: Split, found: Judgement, began_s: float) -> RetrainReport:
    history, made = case.source.history, case.made
    parts = zip(("train", "validation", "test"), (split.train, split.validation, split.test), strict=True)
    streams, compared = stream_scores(found, history.streams), comparisons(found)
    without = unscored(found, made.spec.targets, history.streams)
    return RetrainReport(
        spec=made.spec,
        created_ms=time.time_ns() // 1_000_000,
        source=case.source.words,
        parts=[_part(history, name, extents) for name, extents in parts if extents],
        dead_letters=case.source.dead_letters,
        recipe=made.recipe,
        epochs=made.fitted.epochs,
        best_epoch=made.fitted.best,
        trials=made.trials,
        usual=made.usual,
        notes=[*case.notes, *notes_of(found.scores, streams, without)],
        truths=found.truths,
        scale=typical(found.scales),
        scores=found.scores,
        streams=streams,
        comparisons=compared,
        unscored=without,
        samples=found.samples,
        verdict=_verdict(case.job.judging, Evidence(found.scores, compared, streams), case.champion),
        seconds=time.perf_counter() - began_s,
        versions=_versions(),
    )


def _part(history: History, name: str, extents: list[Extent]) -> SplitPart:
    times = [(history.time_ms[e.start : e.stop].min(), history.time_ms[e.start : e.stop].max()) for e in extents]
    return SplitPart(
        name=name,
        ticks=sum(extent.length for extent in extents),
        streams=len(extents),
        from_ms=int(min(first for first, _ in times)),
        until_ms=int(max(last for _, last in times)),
    )


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("streamrnn", "torch", "numpy")}
    return libraries | {"python": platform.python_version(), "system": sys.platform}

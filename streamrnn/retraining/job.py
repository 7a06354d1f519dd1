"""The retrain job from beginning to end: history, split, fit, judgement, report, publication, promotion.

Owns their order: nothing is published before it is judged, nothing promoted before it is published.
"""

import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from streamrnn.config import Settings
from streamrnn.errors import BundleError, ConfigError, DataError
from streamrnn.nn.bundle import encode_bundle
from streamrnn.nn.manifest import refusing
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.nn.truths import truths_of
from streamrnn.registry import Registry
from streamrnn.retraining.fitting import Made, make
from streamrnn.retraining.forecaster import Served
from streamrnn.retraining.history import Source, open_source
from streamrnn.retraining.request import Job
from streamrnn.retraining.screen import Screen
from streamrnn.retraining.shrinking import shrink
from streamrnn.retraining.verdict import decide
from streamrnn.stores import add_folder
from streamrnn.train.baselines import Forecaster, Persistence, RidgeAR, SeasonalNaive, season_of
from streamrnn.train.history import Extent, History, Split, split_by_time, split_each
from streamrnn.train.html import render
from streamrnn.train.judge import Judgement, check_windows, judge
from streamrnn.train.logarithms import check_logarithms
from streamrnn.train.report import Part, Report, Score, Verdict
from streamrnn.train.statistics import Spread
from streamrnn.train.team import Team, join_team


class Champion(NamedTuple):
    """The model that serves now; None where it cannot be read."""

    label: str
    model: Model | None


def retrain(settings: Settings, job: Job) -> int:
    """`streamrnn retrain`: 0 when a model was judged and published, whatever the verdict.

    Under torchrun every process reads the history and shares the fit; the first one shows, judges and publishes.
    """
    with join_team() as team:
        return _retrain(settings, job, team, Screen(Console(highlight=False, quiet=team.rank > 0), job.has_bar))


def _retrain(settings: Settings, job: Job, team: Team, screen: Screen) -> int:
    began_s = time.perf_counter()
    registry = _registry(settings, job)
    champion = _champion(registry, job.wanted.name, screen)
    base = champion.model.spec if champion and champion.model else None
    with open_source(settings, job, base, screen) as source:
        split = (split_each if job.split_each else split_by_time)(source.history, job.shares)
        check_windows(split.test, source.spec.horizons)
        screen.say(f"{source.spec.name}: {_words(source.spec)}; {len(source.history):,} ticks")
        notes = check_logarithms(source.spec, source.history, split.train)
        made = make(source.spec, source.history, split, job.effort, team, screen)
        screen.gradients(made.fitted.epochs, made.recipe.clip)
        if team.rank:
            return 0
        report = _judge(job, source, split, made, champion, notes, began_s)
    screen.scores(report)
    for note in report.notes:
        screen.say(f"note: {note}")
    _publish(registry, job, made.fitted.model, report, screen)
    return 0


def _judge(
    job: Job, source: Source, split: Split, made: Made, champion: Champion | None, notes: list[str], began_s: float
) -> Report:
    """Shrink where validation says so, score everybody on the test part, decide."""
    spec, history, model = made.spec, source.history, made.fitted.model
    shrink(model, history, split.validation)
    scale = _scale(history, split.train, spec.targets)
    ours = Served("new model", "model", model, spec.horizons)
    rivals = _rivals(history, split, spec, champion, job)
    truths = truths_of(model, spec.horizons)
    found = judge(history, split.test, [ours, *rivals], spec.targets, spec.horizons, scale, truths)
    notes = notes + found.beyond.notes()
    if ours.poisoned:
        raise DataError(f"{ours.poisoned:,} ticks make the model's state or prediction not finite; not published")
    verdict = _verdict(job, found, champion)
    return _report(source, split, made, found, scale, verdict, notes, time.perf_counter() - began_s)


def _registry(settings: Settings, job: Job) -> Registry | None:
    if job.bundle is not None:
        if job.bundle.exists():
            raise _taken(job.bundle)
        return None
    if settings.model.registry is None:
        raise ConfigError("where does the model go? set model.registry, or give --bundle DIR")
    return Registry(settings.model.registry)


def _taken(folder: Path) -> BundleError:
    return BundleError(f"{folder} exists already; bundles are never overwritten")


def _champion(registry: Registry | None, name: str, screen: Screen) -> Champion | None:
    """The model that serves, None where none was ever chosen; one that cannot be read is said, and stays."""
    if registry is None or not registry.versions(name):
        return None
    try:
        if registry.pointer(name) is None:
            return None
        model = registry.load(name)
    except BundleError as error:
        screen.say(f"the champion cannot be compared with: {error}")
        return Champion(f"{name}'s champion", None)
    return Champion(model.spec.label, model)


def _words(spec: ModelSpec) -> str:
    shown = f"{spec.cell} {spec.hidden} x {spec.layers}, {len(spec.features)} features, {len(spec.targets)} targets"
    ahead = f"{len(spec.horizons)} horizons up to {spec.horizons[-1]}" if len(spec.horizons) > 1 else (
        f"{spec.horizons[0]} ahead"
    )
    return f"{shown}, {ahead}, {spec.lags} lags"


def _scale(history: History, train: list[Extent], targets: tuple[str, ...]) -> NDArray[np.float64]:
    """(O,) deviation of each target over the training part without what is absurd, 1 where it is constant."""
    columns = [history.features.index(target) for target in targets]
    levels = Spread((len(columns),), has_bound=True)
    for extent in train:
        levels.add(lambda rows: history.values[rows][:, columns].astype(np.float64), extent, len(columns))
    return levels.all.deviation()


def _rivals(
    history: History, split: Split, spec: ModelSpec, champion: Champion | None, job: Job
) -> list[Forecaster]:
    """The champion if it can be compared, then the baselines."""
    everybody: list[Forecaster] = []
    if champion and champion.model and _is_comparable(champion.model.spec, spec, history.features):
        everybody.append(Served(champion.label, "champion", champion.model, spec.horizons))
    everybody.append(Persistence(spec.targets, spec.horizons))
    season = job.season or season_of(history, split.train)
    if season:
        everybody.append(SeasonalNaive(spec.targets, spec.horizons, season))
    everybody.append(RidgeAR(history, split, spec.targets, spec.horizons, job.ridge_lags))
    return everybody


def _is_comparable(theirs: ModelSpec, ours: ModelSpec, features: tuple[str, ...]) -> bool:
    has_horizons = set(ours.horizons) <= set(theirs.horizons)
    return theirs.targets == ours.targets and has_horizons and set(theirs.features) <= set(features)


def _verdict(job: Job, found: Judgement, champion: Champion | None) -> Verdict:
    by_kind = {score.kind: score for score in reversed(found.scores)}
    label = champion.label if champion else None
    rival: Score | None = by_kind.get("champion")
    verdict = decide(job.policy, job.margin, found.scores[0], rival, by_kind["persistence"], label)
    if job.bundle is None:
        return verdict
    return msgspec.structs.replace(verdict, promoted=False, reason=f"written to a folder: {verdict.reason}")


def _report(
    source: Source, split: Split, made: Made, found: Judgement, scale: NDArray[np.float64],
    verdict: Verdict, notes: list[str], seconds: float,
) -> Report:  # fmt: skip
    history = source.history
    parts = zip(("train", "validation", "test"), (split.train, split.validation, split.test), strict=True)
    return Report(
        spec=made.spec,
        created_ms=time.time_ns() // 1_000_000,
        source=source.words,
        parts=[_part(history, name, extents) for name, extents in parts if extents],
        dead_letters=source.dead_letters,
        recipe=made.recipe,
        epochs=made.fitted.epochs,
        best_epoch=made.fitted.best,
        trials=made.trials,
        usual=made.usual,
        notes=notes,
        truths=found.truths,
        scale=scale.tolist(),
        scores=found.scores,
        samples=found.samples,
        verdict=verdict,
        seconds=seconds,
        versions=_versions(),
    )


def _part(history: History, name: str, extents: list[Extent]) -> Part:
    times = [(history.time_ms[e.start : e.stop].min(), history.time_ms[e.start : e.stop].max()) for e in extents]
    return Part(
        name=name,
        ticks=sum(extent.length for extent in extents),
        streams=len(extents),
        from_ms=int(min(first for first, _ in times)),
        until_ms=int(max(last for _, last in times)),
    )


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("streamrnn", "torch", "numpy")}
    return libraries | {"python": platform.python_version(), "system": sys.platform}


def _publish(registry: Registry | None, job: Job, model: Model, report: Report, screen: Screen) -> None:
    """Bundle and reports, then the champion's pointer if so judged; says what happened."""
    verdict = report.verdict
    if registry is None:
        assert job.bundle is not None, "without a registry there is a folder"
        _save(model, report, job.bundle)
        screen.say(f"{job.bundle}: {verdict.reason}")
        return
    name = model.spec.name
    verdict = _of_now(verdict, registry, name)
    report = msgspec.structs.replace(report, verdict=verdict)
    number = registry.publish(model, lambda n: _files(report, n))
    screen.say(f"published {name}@{number} at {registry.place(name, number)}")
    if verdict.promoted:
        registry.set_champion(name, number)
    screen.say(f"{'promoted' if verdict.promoted else 'not promoted'}: {verdict.reason}")


def _of_now(verdict: Verdict, registry: Registry, name: str) -> Verdict:
    """The verdict, but not to promote over a champion that was chosen since and never compared with."""
    if not verdict.promoted or verdict.policy == "always":
        return verdict
    try:
        pointer = registry.pointer(name)
        now = None if pointer is None else f"{name}@{pointer.version}"
    except BundleError as error:
        now = str(error)
    if now == verdict.champion:
        return verdict
    reason = f"the champion has changed meanwhile, from {verdict.champion} to {now}: {verdict.reason}"
    return msgspec.structs.replace(verdict, promoted=False, reason=reason)


def _save(model: Model, report: Report, folder: Path) -> None:
    """Bundle and reports in a folder, all of them or none."""
    files = encode_bundle(model, str(folder), reports=_files(report, model.spec.version))
    with refusing():
        if not add_folder(folder, files):
            raise _taken(folder)


def _files(report: Report, number: int) -> dict[str, bytes]:
    own = msgspec.structs.replace(report, spec=msgspec.structs.replace(report.spec, version=number))
    return {"report.json": msgspec.json.encode(own), "report.html": render(own).encode()}

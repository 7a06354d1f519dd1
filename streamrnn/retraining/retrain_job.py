"""The retrain job from beginning to end: history, split, fit, judgement, report, publication, promotion.

Owns their order: nothing is published before it is judged, nothing promoted before it is published.
"""

import time
from pathlib import Path

import msgspec
from rich.console import Console

from streamrnn.config import Settings
from streamrnn.errors import BundleError, ConfigError
from streamrnn.nn.bundle import encode_bundle
from streamrnn.nn.manifest import refusing
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.pages.report import render
from streamrnn.registry import Registry
from streamrnn.retraining.champion import load_champion
from streamrnn.retraining.contest import Case, check_season, judge_case, scales_to_judge_by
from streamrnn.retraining.fitting import make
from streamrnn.retraining.job_history import open_source
from streamrnn.retraining.request import RetrainRequest
from streamrnn.retraining.screen import Screen
from streamrnn.stores import add_folder
from streamrnn.train.judge import check_windows
from streamrnn.train.logarithms import check_logarithms
from streamrnn.train.retrain_report import RetrainReport, Verdict
from streamrnn.train.team import Team, join_team


def retrain(settings: Settings, job: RetrainRequest) -> int:
    """`streamrnn retrain`: 0 when a model was judged and published, whatever the verdict.

    Under torchrun every process reads the history and shares the fit; the first one shows, judges and publishes.
    """
    with join_team() as team:
        console = Console(highlight=False, quiet=team.rank > 0)
        return _retrain(settings, job, team, Screen(console, has_bar=not job.judging.no_live))


def _retrain(settings: Settings, job: RetrainRequest, team: Team, screen: Screen) -> int:
    began_s = time.perf_counter()
    registry = _registry(settings, job.judging.bundle)
    champion = load_champion(registry, job.wanted.name, screen)
    base = champion.model.spec if champion and champion.model else None
    with open_source(settings, job, base, screen) as source:
        split = source.split
        check_windows(split.test, source.spec.horizons)
        check_season(job.judging.season, split.train)
        screen.say(f"{source.spec.name}: {_words(source.spec)}; {len(source.history):,} ticks")
        notes = check_logarithms(source.spec, source.history, split.train)
        scales = scales_to_judge_by(source.history, split.train, source.spec.targets)
        made = make(source.spec, source.history, split, job.effort, team, screen)
        screen.gradients(made.fitted.epochs, made.recipe.clip)
        if team.rank:
            return 0
        report = judge_case(Case(job, source, split, made, champion, scales, notes), began_s)
    screen.scores(report)
    for note in report.notes:
        screen.say(f"note: {note}")
    _publish(registry, job.judging.bundle, made.fitted.model, report, screen)
    return 0


def _registry(settings: Settings, bundle: Path | None) -> Registry | None:
    if bundle is not None:
        if bundle.exists():
            raise _taken(bundle)
        return None
    if settings.model.registry is None:
        raise ConfigError("where does the model go? set model.registry, or give --bundle DIR")
    return Registry(settings.model.registry)


def _taken(folder: Path) -> BundleError:
    return BundleError(f"{folder} exists already; bundles are never overwritten")


def _words(spec: ModelSpec) -> str:
    shown = f"{spec.cell} {spec.hidden} x {spec.layers}, {len(spec.features)} features, {len(spec.targets)} targets"
    ahead = (
        f"{len(spec.horizons)} horizons up to {spec.horizons[-1]}"
        if len(spec.horizons) > 1
        else (f"{spec.horizons[0]} ahead")
    )
    return f"{shown}, {ahead}, {spec.lags} lags"


def _publish(
    registry: Registry | None, bundle: Path | None, model: Model, report: RetrainReport, screen: Screen
) -> None:
    """Bundle and reports, then the champion's pointer if so judged; says what happened."""
    verdict = report.verdict
    if registry is None:
        assert bundle is not None, "without a registry there is a folder"
        _save(model, report, bundle)
        screen.say(f"{bundle}: {verdict.reason}")
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


def _save(model: Model, report: RetrainReport, folder: Path) -> None:
    """Bundle and reports in a folder, all of them or none."""
    files = encode_bundle(model, str(folder), reports=_files(report, model.spec.version))
    with refusing():
        if not add_folder(folder, files):
            raise _taken(folder)


def _files(report: RetrainReport, number: int) -> dict[str, bytes]:
    own = msgspec.structs.replace(report, spec=msgspec.structs.replace(report.spec, version=number))
    return {"report.json": msgspec.json.encode(own), "report.html": render(own).encode()}

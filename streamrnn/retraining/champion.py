"""The model that serves now, and what of the history it was trained on. Judges nobody."""

from typing import NamedTuple

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.model import Model
from streamrnn.registry import Registry
from streamrnn.retraining.screen import Screen


class SeenTimes(NamedTuple):
    """Event times (ms) of the ticks that a model was trained and chosen on, the first and the last."""

    from_ms: int
    until_ms: int


class ServingModel(NamedTuple):
    """The model that serves now; None where it cannot be read. seen: None where no report says it."""

    label: str
    model: Model | None
    seen: SeenTimes | None = None


class _ReportedPart(msgspec.Struct, frozen=True):
    """Of a report: of another release perhaps, so only what is needed is looked at."""

    name: str
    from_ms: int
    until_ms: int


class _ReportedParts(msgspec.Struct, frozen=True):
    parts: list[_ReportedPart]


_PARTS = msgspec.json.Decoder(_ReportedParts)


def load_champion(registry: Registry | None, name: str, screen: Screen) -> ServingModel | None:
    """The model that serves, None where none was ever chosen; one that cannot be read is said, and stays."""
    if registry is None or not registry.versions(name):
        return None
    try:
        if registry.pointer(name) is None:
            return None
        model = registry.load(name)
    except BundleError as error:
        screen.say(f"the champion cannot be compared with: {error}")
        return ServingModel(f"{name}'s champion", None)
    return ServingModel(model.spec.label, model, _seen(registry, name, model.spec.version))


def _seen(registry: Registry, name: str, version: int) -> SeenTimes | None:
    """Its training and its validation part: both had a say in its weights."""
    try:
        raw = registry.report(name, version)
        parts = [] if raw is None else _PARTS.decode(raw).parts
    except (BundleError, msgspec.DecodeError, ValueError, RecursionError):
        return None
    used = [part for part in parts if part.name in ("train", "validation")]
    if not used:
        return None
    return SeenTimes(min(part.from_ms for part in used), max(part.until_ms for part in used))

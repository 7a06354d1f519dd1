"""What the registry says of a version, gathered for showing: a damaged version is an entry that says so.

Reports are read leniently: they may come from another release, and only what is shown is looked at.
"""

import math
from typing import Any, NamedTuple

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.manifest import LARGEST_HEADER_BYTES, WEIGHTS, Manifest
from streamrnn.process.terminal import moment
from streamrnn.registry import Registry
from streamrnn.stores.tensor_header import LENGTH_BYTES, decode_header, header_length


class ShownScore(msgspec.Struct, frozen=True):
    """A contender's errors on the test part, standardised; None where there was no truth."""

    name: str
    kind: str
    std_mse: list[list[float | None]]

    @property
    def overall(self) -> float | None:
        """Mean over horizons and targets: the number that models are compared by."""
        known = [cell for row in self.std_mse for cell in row if cell is not None]
        return sum(known) / len(known) if known else None


class ShownVerdict(msgspec.Struct, frozen=True):
    """Whether the retrain job made it the champion, and why."""

    promoted: bool
    policy: str = ""
    reason: str = ""


class Summary(msgspec.Struct, frozen=True):
    """The part of report.json that is shown; the model is the first of the scores."""

    scores: list[ShownScore]
    verdict: ShownVerdict
    source: str = ""
    seconds: float | None = None

    @property
    def test_error(self) -> float | None:
        """The model's own error."""
        return self.scores[0].overall if self.scores else None


_SUMMARY = msgspec.json.Decoder(Summary)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A version in the list; problem: why there is no more to say of it."""

    name: str
    version: int
    champion: bool
    challenger: bool = False
    created: str | None = None
    cell: str | None = None
    hidden: int | None = None
    layers: int | None = None
    test_error: float | None = None
    promoted: bool | None = None
    problem: str | None = None


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """All of a version: its manifest, its sizes in numbers and bytes, its report."""

    name: str
    version: int
    champion: bool
    challenger: bool
    place: str
    created: str
    streamrnn: str
    spec: dict[str, Any]
    parameters: int
    files: dict[str, int]
    report: Summary | None
    problem: str | None


def entries(registry: Registry, name: str | None = None) -> list[Entry]:
    """Every version, ascending, of one model or of all; BundleError for a model that has none."""
    names = registry.names() if name is None else [name]
    found = [entry for each in names for entry in _entries_of(registry, each)]
    if name is not None and not found:
        raise BundleError(f"{registry.place(name)}: no model of this name has a version")
    return found


def _entries_of(registry: Registry, name: str) -> list[Entry]:
    roles = _roles(registry, name)
    return [_entry(registry, name, version, roles) for version in registry.versions(name)]


class _Roles(NamedTuple):
    """Which versions are champion and challenger if any is, and what is wrong with a pointer if something is."""

    champion: int | None
    challenger: int | None
    problem: str | None


def _roles(registry: Registry, name: str) -> _Roles:
    champion = challenger = problem = None
    try:
        pointer = registry.pointer(name)
        champion = None if pointer is None else pointer.version
        staged = registry.challenger(name)
        challenger = None if staged is None or staged.version == champion else staged.version
    except BundleError as error:
        problem = str(error)
    return _Roles(champion, challenger, problem)


def _entry(registry: Registry, name: str, version: int, roles: _Roles) -> Entry:
    is_champion, is_challenger = version == roles.champion, version == roles.challenger
    try:
        manifest = registry.manifest(name, version)
    except BundleError as error:
        return Entry(name=name, version=version, champion=is_champion, challenger=is_challenger, problem=str(error))
    report, trouble = _summary(registry, name, version)
    return Entry(
        name=name,
        version=version,
        champion=is_champion,
        challenger=is_challenger,
        created=_created(manifest),
        cell=manifest.spec.cell,
        hidden=manifest.spec.hidden,
        layers=manifest.spec.layers,
        test_error=report.test_error if report else None,
        promoted=report.verdict.promoted if report else None,
        problem=trouble or roles.problem,
    )


def detail(registry: Registry, name: str, version: int) -> Detail:
    """One version; BundleError if it is damaged, but for its report."""
    manifest = registry.manifest(name, version)
    roles = _roles(registry, name)
    report, problem = _summary(registry, name, version)
    return Detail(
        name=name,
        version=version,
        champion=version == roles.champion,
        challenger=version == roles.challenger,
        place=registry.place(name, version),
        created=_created(manifest),
        streamrnn=manifest.streamrnn,
        spec=msgspec.to_builtins(manifest.spec),
        parameters=_parameters(registry, name, version),
        files=registry.sizes(name, version),
        report=report,
        problem=problem or roles.problem,
    )


def _created(manifest: Manifest) -> str:
    return moment(manifest.created * 1000)


def _summary(registry: Registry, name: str, version: int) -> tuple[Summary | None, str | None]:
    """The report if there is one, and what is wrong with it if something is."""
    try:
        raw = registry.report(name, version)
        return (None, None) if raw is None else (_SUMMARY.decode(raw), None)
    except (BundleError, msgspec.DecodeError, ValueError, RecursionError) as error:
        return None, f"report.json: {error}"


def _parameters(registry: Registry, name: str, version: int) -> int:
    """How many numbers were trained: all in the weights' header but the statistics."""
    place = f"{registry.place(name, version)}/{WEIGHTS}"
    try:
        length = header_length(registry.weights_start(name, version, LENGTH_BYTES), LARGEST_HEADER_BYTES)
        tensors = decode_header(registry.weights_start(name, version, LENGTH_BYTES + length)[LENGTH_BYTES:])
    except ValueError as error:
        raise BundleError(f"{place}: not safetensors: {error}") from error
    return sum(math.prod(of.shape) for key, of in tensors.items() if not key.endswith(("_mean", "_std")))

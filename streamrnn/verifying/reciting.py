"""The lines that step again what models have served, each made when it is first needed. Owns their threads."""

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from streamrnn.config import Settings
from streamrnn.engine.thread import EngineThread
from streamrnn.errors import BundleError
from streamrnn.nn.model import Model
from streamrnn.provenance.fingerprint import fingerprint
from streamrnn.provenance.pedigree import Pedigree, Spoken
from streamrnn.verifying.recomputing import Recomputing, make_recomputing_line
from streamrnn.verifying.restored import OldestSnapshots

LoadModel = Callable[[str], Model]
"""Reads the model of a label, NAME@VERSION; BundleError where it cannot be had."""


def no_other(label: str) -> Model:
    """Knows no model but the one that is given."""
    raise BundleError(f"{label} is not given")


class Reciter(NamedTuple):
    """One model, and what steps again what it served."""

    label: str
    fingerprint: str
    recomputing: Recomputing
    snapshots: OldestSnapshots
    thread: EngineThread


class EarlierStretch(NamedTuple):
    """Offsets of which a speaker spoke before the present one, up to but without `until`."""

    spoken: Spoken
    until: int
    reciter: Reciter


class Reciters:
    """The reciter of the model that is given, and of others where they can be had."""

    def __init__(self, settings: Settings, model: Model, load: LoadModel) -> None:
        self._settings, self._load = settings, load
        self._made: dict[str, Reciter | None] = {}
        self.given = self._make(model)
        self._made[self.given.label] = self.given

    def of(self, label: str, printed: str) -> Reciter | None:
        """The reciter of a model; None where the model cannot be had, or would make other states today."""
        if label not in self._made:
            try:
                self._made[label] = self._make(self._load(label))
            except BundleError:
                self._made[label] = None
        found = self._made[label]
        return found if found is not None and found.fingerprint == printed else None

    def speaking(self, pedigree: Pedigree | None) -> Reciter:
        """Of who speaks of a partition; the one of the model that is given where another cannot be had."""
        found = None if pedigree is None else self.of(pedigree.model, pedigree.fingerprint)
        return found or self.given

    def earlier(self, pedigree: Pedigree, first: int) -> tuple[list[EarlierStretch], list[str]]:
        """What those who spoke before can be held to, newest first, and why not the rest.

        first: the input's first offset. A state of ticks that are gone cannot be made again.
        """
        found: list[EarlierStretch] = []
        until = pedigree.served_from
        for spoken in reversed(pedigree.before):
            reciter = self.of(spoken.model, spoken.fingerprint)
            why = "" if reciter else "cannot be had any more, or settings that change a state are others"
            if first > spoken.since:
                why = f"is a state of ticks from {spoken.since} on, and the input begins at {first}"
            if why or reciter is None:
                return found, [f"what {spoken.model} has said below {until} is not recomputed: it {why}"]
            found.append(EarlierStretch(spoken, until, reciter))
            until = spoken.served_from
        return found, []

    def _make(self, model: Model) -> Reciter:
        line = make_recomputing_line(model, self._settings)
        printed = fingerprint(model, self._settings)
        return Reciter(
            model.spec.label, printed, Recomputing(self._settings, line), OldestSnapshots(line), line.thread
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reciter in self._made.values():
            if reciter is not None:
                reciter.thread.close(wait=True)

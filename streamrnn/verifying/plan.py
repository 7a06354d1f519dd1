"""Which offsets of a partition are held against what: decided from offsets alone. No I/O."""

from itertools import pairwise
from typing import NamedTuple

from streamrnn.kafka.reading.log import LogExtent
from streamrnn.verifying.found import FoundColumns
from streamrnn.verifying.judgement import Stretch, StretchRules
from streamrnn.verifying.places import offset_of


class Basis(NamedTuple):
    """What is known before a record of the input is read.

    The state begins at `since`, its predictions at `served_from`; it is at hand from `placed` on, which is `since`
    or where a snapshot stands. All below `committed` must be there, and under exactly-once (`is_exact`) nothing
    from `settled` on, which was committed after the outputs were read. presence_below: in place of served_from
    where what was said before by others is recomputed too.
    """

    since: int
    born: str | None
    placed: int
    served_from: int
    committed: int
    settled: int
    is_exact: bool
    may_drop: bool
    source: LogExtent
    output: LogExtent
    dead: LogExtent
    presence_below: int | None = None

    @property
    def unknown_below(self) -> int:
        """Below it an earlier model or state spoke that is not recomputed."""
        return self.served_from if self.presence_below is None else self.presence_below


class PlannedStretch(NamedTuple):
    """A stretch, whether its ticks step the state, and whether what they yield is held against what was found."""

    stretch: Stretch
    has_state: bool
    is_recomputed: bool


class VerifyPlan(NamedTuple):
    """Steps in ascending order; `start` and `stop` bound them; `unchecked` says why nothing is recomputed."""

    start: int
    stop: int
    steps: list[PlannedStretch]
    notes: list[str]
    unchecked: str = ""


def make_plan(basis: Basis, predictions: FoundColumns, letters: FoundColumns) -> VerifyPlan:
    """What is to be done with each offset of the input."""
    why = _obstacle(basis)
    tops = [offset_of(int(found.source[-1])) + 1 for found in (predictions, letters) if len(found.source)]
    firsts = [offset_of(int(found.source[0])) for found in (predictions, letters) if len(found.source)]
    first = min(firsts, default=None)
    stop = max(min(basis.committed, basis.source.stop), min(basis.source.stop, max(tops, default=0)))
    start = min(basis.since, stop) if first is None or first >= basis.served_from else min(first, basis.since, stop)
    start = max(start, basis.source.start)
    bounds = _LogBounds(basis, first, predictions, letters, stop)
    known = max(basis.placed, basis.served_from)
    cuts = {start, stop, basis.placed, basis.served_from, basis.committed, basis.settled}
    steps = [
        PlannedStretch(Stretch(a, b, bounds.rules(a)), not why and a >= basis.placed, not why and a >= known)
        for a, b in pairwise(sorted(cut for cut in cuts if start <= cut <= stop))
    ]
    return VerifyPlan(start, stop, steps, bounds.notes(start), why)


def _obstacle(basis: Basis) -> str:
    if basis.source.start > basis.placed:
        gone = f"the input begins at {basis.source.start}"
        return f"{gone}, the state is made of ticks from {basis.since} on, and no snapshot spares them"
    if basis.committed > basis.source.stop:
        return f"offset {basis.committed} is committed, the input ends at {basis.source.stop}: is it another topic?"
    return ""


class _LogBounds:
    """Below which offsets nothing need be there."""

    def __init__(
        self, basis: Basis, first: int | None, predictions: FoundColumns, letters: FoundColumns, stop: int
    ) -> None:
        self._basis = basis
        self._earliest = stop if first is None else first
        self._prediction = _first_kept(basis.output, predictions, stop)
        self._letter = _first_kept(basis.dead, letters, stop)
        below = [int((offset_of(found.source) < basis.source.start).sum()) for found in (predictions, letters)]
        self._unread = sum(below)

    def rules(self, start: int) -> StretchRules:
        basis = self._basis
        is_earlier = start < basis.served_from
        return StretchRules(
            must=start < basis.committed,
            is_early=basis.is_exact and start >= basis.settled,
            may_drop=basis.may_drop,
            first_prediction=max(self._prediction, self._earliest) if is_earlier else self._prediction,
            first_letter=self._letter,
        )

    def notes(self, start: int) -> list[str]:
        """What could not be checked, in words."""
        basis, notes = self._basis, []
        for what, extent, kept in (
            ("output", basis.output, self._prediction),
            ("dead letters' log", basis.dead, self._letter),
        ):
            if extent.start > 0:
                notes.append(f"the {what} begins at {extent.start}: nothing is asked of ticks below {kept}")
            if extent.pending:
                notes.append(f"{extent.pending} offsets at the end of the {what} lie in an open transaction")
        if self._unread:
            notes.append(f"{self._unread} records of ticks below {start}, which the input no longer holds")
        if basis.placed > basis.since:
            notes.append(f"begun with the snapshot at {basis.placed}: below it only presence is checked")
        if basis.unknown_below > start:
            notes.append(
                f"an earlier model or state served below {basis.unknown_below}: only presence is checked there"
            )
        return notes


def _first_kept(extent: LogExtent, found: FoundColumns, stop: int) -> int:
    """The first tick whose record must still be there, in a log that may have lost its beginning."""
    if extent.start == 0:
        return 0
    return offset_of(int(found.source[0])) if len(found.source) else stop

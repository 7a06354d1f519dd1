"""Which rows a partition goes on with at its committed offset: facts in, a choice out. No I/O, no clock, no chance.

In this order: the rows still in memory, and what came since; the newest snapshot that can be trusted, and what came
since; all records since the state's beginning where they are not too many; else a warm-up from fresh rows. A
warm-up makes another state, and its pedigree says so. The store is asked only where the rows in memory will not do,
so the choice is made in two steps: `first_choice`, and `choice_after` what the store gave.
"""

import logging
from enum import StrEnum
from typing import NamedTuple

from streamrnn.errors import StateError
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.worker.keeper import Restored


class Way(StrEnum):
    """Where a partition's rows come from."""

    NEW = "new"
    """Nowhere: the group has no offset of this log, so fresh rows begin where input.start says."""
    MEMORY = "memory"
    SNAPSHOT = "snapshot"
    BEGINNING = "beginning"
    """All records since the state's beginning."""
    WARMUP = "warmup"
    """The last records only: another state than the one before."""
    GAP = "gap"
    """Nowhere: ticks that were never stepped are gone, so another state begins at the first that is left."""


FROM_FRESH_ROWS = (Way.NEW, Way.BEGINNING, Way.WARMUP, Way.GAP)
"""Ways on which whatever is in memory is dropped first."""


class Note(NamedTuple):
    """What the log is to say of a partition, and how loudly."""

    level: int
    text: str


class RecoveryTerms(NamedTuple):
    """What holds for all partitions of a model: whose state it is, and what the settings allow.

    max_replay: records that may be replayed instead of a snapshot; None where no snapshots are kept. is_speaking:
    whether the pedigrees that are committed are this model's to go on with; a model that follows goes by its own.
    """

    model: str
    fingerprint: str
    warmup_ticks: int
    max_replay: int | None
    fails_on_gap: bool
    is_speaking: bool = True


class RowsInMemory(NamedTuple):
    """What this worker still has of a partition: as Standing and Partition say."""

    position: int
    committed: int | None
    pedigree: Pedigree
    is_damaged: bool = False
    """Whether some of its streams were only in a snapshot that turned out to be damaged."""


class RecoveryFacts(NamedTuple):
    """What was found out about partition `number` before anything is chosen.

    offset: what the group committed, None if it never did. written: the pedigree beside it, None where somebody
    else wrote it or nobody. first: the first offset of the log; for a partition that `begins_anew`, the offset
    where input.start lets it begin. token: drawn for a state that begins.
    """

    number: int
    offset: int | None
    written: Pedigree | None
    topic_id: str
    first: int
    memory: RowsInMemory | None
    token: str

    @property
    def committed(self) -> int | None:
        """The group's offset in this log; None where that of a deleted topic of this name is all there is."""
        return None if begins_anew(self.offset, self.written, self.topic_id) else self.offset

    @property
    def of_topic(self) -> str:
        """What the birth tokens of all states of this topic start with."""
        return f"{self.topic_id}." if self.topic_id else ""

    @property
    def born(self) -> str | None:
        """The birth token of the committed state, whatever model made it: a warm-up is of the same log."""
        return (self.written.born or None) if self.written is not None else None


class RecoveryChoice(NamedTuple):
    """The rows to go on with: at `start` before records are replayed, at `stop` after, and of which pedigree."""

    way: Way
    start: int
    stop: int
    pedigree: Pedigree
    notes: tuple[Note, ...] = ()


class SnapshotSought(NamedTuple):
    """Memory will not do: which snapshot would. since, born: of the state it must be of, None for any."""

    at_most: int
    since: int | None
    born: str | None
    notes: tuple[Note, ...] = ()


def begins_anew(offset: int | None, written: Pedigree | None, topic_id: str) -> bool:
    """Whether the group has no committed offset of this log: none at all, or one of a deleted topic."""
    return offset is None or (written is not None and not written.is_of(topic_id))


def first_choice(facts: RecoveryFacts, terms: RecoveryTerms) -> RecoveryChoice | SnapshotSought:
    """The choice where no store need be asked, else what to ask it for; StateError where the state is lost."""
    committed = facts.committed
    if committed is None:
        return _new(facts, terms)
    if committed < facts.first:
        note = _gap(f"the committed offset {committed}", facts, terms)
        return RecoveryChoice(Way.GAP, facts.first, facts.first, _other(facts, terms, facts.first), (note,))
    known, rows = _known(facts, committed, terms), facts.memory
    notes: tuple[Note, ...] = ()
    if rows is not None and _is_same_state(rows, facts, known):
        obstacle = _obstacle(rows, facts, committed)
        if obstacle is None:
            return RecoveryChoice(Way.MEMORY, rows.position, max(rows.position, committed), rows.pedigree)
        notes = (Note(logging.INFO, obstacle),)
    since = None if known is None else known.since
    return SnapshotSought(committed, since, facts.born or facts.of_topic or None, notes)


def choice_after(facts: RecoveryFacts, terms: RecoveryTerms, restored: Restored | None) -> RecoveryChoice:
    """The choice once the store has been asked, and gave this; StateError where the state is lost."""
    committed = facts.committed
    assert committed is not None
    known = _known(facts, committed, terms)
    if restored is None:
        return _from_records(facts, committed, known, terms)
    if restored.offset < committed and restored.offset < facts.first:
        note = _gap(f"the snapshot at {restored.offset}", facts, terms)
        choice = _from_records(facts, committed, known, terms)
        return choice._replace(notes=(note, *choice.notes))
    served_from = committed if known is None else known.served_from
    before = () if known is None else known.before
    pedigree = Pedigree(terms.model, terms.fingerprint, restored.since, served_from, restored.born, before)
    return RecoveryChoice(Way.SNAPSHOT, restored.offset, committed, pedigree)


def _new(facts: RecoveryFacts, terms: RecoveryTerms) -> RecoveryChoice:
    """A group without a committed offset begins where it is told."""
    notes: tuple[Note, ...] = ()
    if facts.offset is not None:
        said = f"the committed offset {facts.offset} is of a deleted topic of this name: it begins anew"
        notes = (Note(logging.WARNING, said),)
    pedigree = Pedigree(terms.model, terms.fingerprint, facts.first, facts.first, facts.of_topic + facts.token)
    return RecoveryChoice(Way.NEW, facts.first, facts.first, pedigree, notes)


def _known(facts: RecoveryFacts, committed: int, terms: RecoveryTerms) -> Pedigree | None:
    """The pedigree of the committed state where this model can go on with that state, else None."""
    if not terms.is_speaking:
        return _followed(facts)
    written = facts.written
    if written is None or written.fingerprint != terms.fingerprint:
        return None
    if written.since > committed:
        return None  # of another log: somebody has copied it
    if written.model != terms.model:  # the same state under another name
        return written._replace(model=terms.model, served_from=committed)
    return written


def _followed(facts: RecoveryFacts) -> Pedigree | None:
    """The pedigree of rows that follow, where they are of the log whose offsets are committed."""
    rows = facts.memory
    return rows.pedigree if rows is not None and facts.born in (None, rows.pedigree.born) else None


def _is_same_state(rows: RowsInMemory, facts: RecoveryFacts, known: Pedigree | None) -> bool:
    """Whether nobody has made another state of the records since."""
    if rows.is_damaged:
        return False
    if known is None:
        return facts.written is None  # some brokers and tools keep no metadata
    return known.is_kin(rows.pedigree)


def _obstacle(rows: RowsInMemory, facts: RecoveryFacts, committed: int) -> str | None:
    """Why rows in memory that are of the right state do not lead to the committed offset; None if they do."""
    # All below `position` was published before a rebalance, which kept it from being committed.
    if rows.position > committed != rows.committed:
        return f"its rows are at {rows.position}, beyond {committed}"
    if rows.position < committed and rows.position < facts.first:
        return "ticks after its rows in memory are gone"
    return None


def _from_records(
    facts: RecoveryFacts, committed: int, known: Pedigree | None, terms: RecoveryTerms
) -> RecoveryChoice:
    """All since the state's beginning where that is not too much, else a warm-up."""
    notes: tuple[Note, ...] = ()
    if known is not None:
        if facts.first <= known.since and committed - known.since <= max(terms.warmup_ticks, terms.max_replay or 0):
            return RecoveryChoice(Way.BEGINNING, known.since, committed, known)
        if facts.first > known.since and terms.max_replay is not None:
            notes = (_gap(f"its state, which begins at {known.since},", facts, terms),)
        notes += (Note(logging.WARNING, "no usable snapshot, its state is no longer what it was"),)
    start = min(committed, max(facts.first, committed - terms.warmup_ticks))
    return RecoveryChoice(Way.WARMUP, start, committed, _other(facts, terms, start), notes)


def _other(facts: RecoveryFacts, terms: RecoveryTerms, since: int) -> Pedigree:
    """Of another state of the same log, which speaks from the committed offset or the first left after it."""
    born = facts.of_topic + facts.token if facts.born is None else facts.born
    served_from = max(since, facts.committed or 0)
    return Pedigree(terms.model, terms.fingerprint, since, served_from, born)


def _gap(what: str, facts: RecoveryFacts, terms: RecoveryTerms) -> Note:
    """Retention has deleted ticks that `what` needs: a warning, or StateError if snapshots.on_gap is fail."""
    said = f"{what} needs ticks below {facts.first}, which retention has deleted"
    if terms.fails_on_gap and terms.is_speaking:
        raise StateError(f"partition {facts.number}: {said}; snapshots.on_gap is fail")
    return Note(logging.WARNING, f"{said}: warming up anew")

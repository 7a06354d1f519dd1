"""What a partition goes on with, chosen from facts alone: a table of cases, and what holds for all of them."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.errors import StateError
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.worker.keeper import Restored
from streamrnn.worker.recovery_plan import (
    FROM_FRESH_ROWS,
    RecoveryChoice,
    RecoveryFacts,
    RecoveryTerms,
    RowsInMemory,
    SnapshotSought,
    Way,
    choice_after,
    first_choice,
)

TERMS = RecoveryTerms(model="toy@2", fingerprint="f", warmup_ticks=20, max_replay=None, fails_on_gap=False)
KEPT = TERMS._replace(max_replay=1000)
STRICT = KEPT._replace(fails_on_gap=True)
OURS = Pedigree("toy@2", "f", since=10, served_from=10, born="T.a1")
"""The state that was committed: of this model, from offset 10 of the topic T on."""
ANEW = "T.new"
"""The birth token of a state that begins now."""
ITS_OWN = SnapshotSought(100, 10, "T.a1")
"""What the store is asked for where the committed state is known."""
GONE = "which retention has deleted: warming up anew"
OTHER = "no usable snapshot, its state is no longer what it was"


def at(offset: int | None, written: Pedigree | None = None, first: int = 0, rows: RowsInMemory | None = None):
    """The group is at `offset` of a log that begins at `first`."""
    return RecoveryFacts(7, offset, written, "T", first, rows, "new")


def rows_at(position: int, committed: int | None = 100, pedigree: Pedigree = OURS, is_damaged: bool = False):
    return RowsInMemory(position, committed, pedigree, is_damaged)


def since(start: int, served_from: int = 100, born: str = "T.a1") -> Pedigree:
    """Of another state of this model, which begins at `start`."""
    return Pedigree("toy@2", "f", start, served_from, born)


@dataclass
class Case:
    """Facts and what is to come of them; `store`: what the store gives, where it is asked."""

    facts: RecoveryFacts
    way: Way
    span: tuple[int, int]
    pedigree: Pedigree
    store: Restored | None = None
    terms: RecoveryTerms = TERMS
    says: str = ""
    asks: SnapshotSought | None = None


CASES = {
    "a group without an offset begins where it is told":
        Case(at(None, first=5), Way.NEW, (5, 5), since(5, 5, ANEW)),
    "rows in memory are of no use to a group without an offset":
        Case(at(None, first=5, rows=rows_at(100)), Way.NEW, (5, 5), since(5, 5, ANEW)),
    "an offset of a deleted topic is none":
        Case(at(100, OURS._replace(born="U.a1"), first=5), Way.NEW, (5, 5), since(5, 5, ANEW),
             says="the committed offset 100 is of a deleted topic of this name: it begins anew"),
    "rows that have seen all that is committed go on":
        Case(at(100, OURS, rows=rows_at(100)), Way.MEMORY, (100, 100), OURS),
    "rows that are behind replay what came since":
        Case(at(100, OURS, rows=rows_at(60)), Way.MEMORY, (60, 100), OURS),
    "rows that are behind and at the log's first offset lack nothing":
        Case(at(100, OURS, first=60, rows=rows_at(60)), Way.MEMORY, (60, 100), OURS),
    "rows ahead of what this worker itself committed last go on where they are, for all below was published":
        Case(at(100, OURS, rows=rows_at(130)), Way.MEMORY, (130, 130), OURS),
    "rows ahead of what another worker committed have seen ticks that nobody published":
        Case(at(100, OURS, rows=rows_at(130, committed=90)), Way.WARMUP, (80, 100), since(80), asks=ITS_OWN,
             says=f"its rows are at 130, beyond 100|{OTHER}"),
    "rows whose next tick retention has deleted lead nowhere":
        Case(at(100, OURS, first=61, rows=rows_at(60)), Way.WARMUP, (80, 100), since(80), asks=ITS_OWN,
             says=f"ticks after its rows in memory are gone|{OTHER}"),
    "rows of another beginning are of another state":
        Case(at(100, OURS, rows=rows_at(100, pedigree=since(10, born="T.b2"))), Way.WARMUP, (80, 100), since(80),
             says=OTHER),
    "rows that only a damaged snapshot had in full are not gone on with":
        Case(at(100, OURS, rows=rows_at(100, is_damaged=True)), Way.SNAPSHOT, (90, 100), OURS,
             store=Restored(90, 10, "T.a1", 3), asks=ITS_OWN),
    "rows in memory are trusted where a tool has set the offset and written nothing":
        Case(at(100, None, rows=rows_at(60)), Way.MEMORY, (60, 100), OURS),
    "rows in memory are not trusted where another model has written":
        Case(at(100, OURS._replace(fingerprint="g"), rows=rows_at(100)), Way.WARMUP, (80, 100), since(80)),
    "the same state under another name goes on":
        Case(at(100, OURS._replace(model="toy@1"), rows=rows_at(100)), Way.MEMORY, (100, 100), OURS),
    "a snapshot at the committed offset needs no record":
        Case(at(100, OURS), Way.SNAPSHOT, (100, 100), OURS, store=Restored(100, 10, "T.a1", 3), asks=ITS_OWN),
    "a snapshot below the committed offset replays what came since":
        Case(at(100, OURS, first=90), Way.SNAPSHOT, (90, 100), OURS, store=Restored(90, 10, "T.a1", 3)),
    "a snapshot at the committed offset is good where retention has caught up with it":
        Case(at(100, OURS, first=100), Way.SNAPSHOT, (100, 100), OURS, store=Restored(100, 10, "T.a1", 3)),
    "a snapshot of the same state under another name speaks from the committed offset on":
        Case(at(100, OURS._replace(model="toy@1")), Way.SNAPSHOT, (90, 100), since(10), asks=ITS_OWN,
             store=Restored(90, 10, "T.a1", 3)),
    "any snapshot of this log will do where a tool has set the offset":
        Case(at(100, None), Way.SNAPSHOT, (90, 100), since(3, born="T.c3"), asks=SnapshotSought(100, None, "T."),
             store=Restored(90, 3, "T.c3", 3)),
    "where another model has written, this model's snapshot must be of the same birth":
        Case(at(100, OURS._replace(fingerprint="g")), Way.SNAPSHOT, (90, 100), since(12),
             Restored(90, 12, "T.a1", 3), asks=SnapshotSought(100, None, "T.a1")),
    "a pedigree that begins after its own offset was copied from another log":
        Case(at(100, OURS._replace(since=101)), Way.WARMUP, (80, 100), since(80),
             asks=SnapshotSought(100, None, "T.a1")),
    "a snapshot whose next tick retention has deleted gives way to a warm-up":
        Case(at(100, OURS, first=95), Way.WARMUP, (95, 100), since(95), Restored(90, 10, "T.a1", 3), KEPT,
             says=f"the snapshot at 90 needs ticks below 95, {GONE}|"
                  f"its state, which begins at 10, needs ticks below 95, {GONE}|{OTHER}"),
    "without a snapshot all records since the state's beginning make the same state":
        Case(at(30, OURS, first=10), Way.BEGINNING, (10, 30), OURS),
    "with a store many more records are replayed rather than make another state":
        Case(at(1010, OURS, first=10), Way.BEGINNING, (10, 1010), OURS, terms=KEPT),
    "a record too many makes another state":
        Case(at(31, OURS, first=10), Way.WARMUP, (11, 31), since(11, 31),
             says=OTHER),
    "a record too many makes another state with a store too":
        Case(at(1011, OURS, first=10), Way.WARMUP, (991, 1011), since(991, 1011), terms=KEPT,
             says=OTHER),
    "a state whose beginning is gone is another, and without a store that is no gap":
        Case(at(30, OURS, first=11), Way.WARMUP, (11, 30), since(11, 30),
             says=OTHER),
    "a state whose beginning is gone is said to have a gap where a store was to prevent that":
        Case(at(30, OURS, first=11), Way.WARMUP, (11, 30), since(11, 30), terms=KEPT,
             says=f"its state, which begins at 10, needs ticks below 11, {GONE}|{OTHER}"),
    "an offset that somebody else set is warmed up to and nothing is missed":
        Case(at(100, None), Way.WARMUP, (80, 100), since(80, born=ANEW)),
    "a warm-up begins at the log's first offset where less is left":
        Case(at(100, None, first=95), Way.WARMUP, (95, 100), since(95, born=ANEW)),
    "an empty log at its own end is warmed up by nothing":
        Case(at(100, None, first=100), Way.WARMUP, (100, 100), since(100, born=ANEW)),
    "another model's state is warmed up to, of the same birth":
        Case(at(100, OURS._replace(fingerprint="g")), Way.WARMUP, (80, 100), since(80), terms=KEPT),
    "ticks that were never stepped and are gone make a gap":
        Case(at(100, OURS, first=101, rows=rows_at(100)), Way.GAP, (101, 101), since(101, 101),
             says=f"the committed offset 100 needs ticks below 101, {GONE}"),
}  # fmt: skip


def chosen(
    facts: RecoveryFacts, terms: RecoveryTerms, store: Restored | None
) -> tuple[RecoveryChoice, SnapshotSought | None]:
    """The choice, and what the store was asked for it if it was."""
    choice = first_choice(facts, terms)
    if not isinstance(choice, SnapshotSought):
        return choice, None
    return choice_after(facts, terms, store), choice


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_choice_follows_from_the_facts(case: Case) -> None:
    choice, asked = chosen(case.facts, case.terms, case.store)
    assert (choice.way, (choice.start, choice.stop), choice.pedigree) == (case.way, case.span, case.pedigree)
    notes = ((*asked.notes, *choice.notes)) if asked is not None else choice.notes
    assert "|".join(note.text for note in notes) == case.says
    if case.asks is not None:
        assert asked is not None
        assert asked._replace(notes=()) == case.asks
    assert asked is not None or case.store is None, "a store is asked only where memory will not do"


@pytest.mark.parametrize(
    ("facts", "store", "says"),
    [
        (at(100, OURS, first=101), None, "the committed offset 100 needs ticks below 101"),
        (at(100, OURS, first=95), Restored(90, 10, "T.a1", 3), "the snapshot at 90 needs ticks below 95"),
        (at(100, OURS, first=95), None, "its state, which begins at 10, needs ticks below 95"),
    ],
    ids=["ticks never stepped", "ticks after the snapshot", "ticks since the beginning"],
)
def test_a_state_that_needs_deleted_ticks_is_lost_where_a_gap_may_not_be(
    facts: RecoveryFacts, store: Restored | None, says: str
) -> None:
    with pytest.raises(StateError) as lost:
        chosen(facts, STRICT, store)
    assert str(lost.value) == f"partition 7: {says}, which retention has deleted; snapshots.on_gap is fail"


OFFSETS = st.integers(0, 12)
PEDIGREES = st.builds(
    Pedigree,
    st.sampled_from(["toy@2", "toy@1"]),
    st.sampled_from("fg"),
    OFFSETS,
    OFFSETS,
    st.sampled_from(["T.a", "T.b", "U.a", ""]),
)
OF_OURS = PEDIGREES.map(lambda pedigree: pedigree._replace(fingerprint="f", model="toy@2"))
ROWS = st.builds(RowsInMemory, OFFSETS, st.none() | OFFSETS, OF_OURS, st.booleans())
FACTS = st.builds(
    RecoveryFacts,
    st.just(7),
    st.none() | OFFSETS,
    st.none() | PEDIGREES,
    st.sampled_from(["T", ""]),
    OFFSETS,
    st.none() | ROWS,
    st.just("new"),
)
ALL_TERMS = st.builds(
    RecoveryTerms,
    st.just("toy@2"),
    st.just("f"),
    st.integers(0, 6),
    st.none() | st.integers(0, 9),
    st.just(False),
    st.just(True),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[RecoveryFacts, RecoveryTerms, Restored | None]:
    """Facts, terms, and what a store that answers truly may give for them."""
    facts, terms = draw(FACTS), draw(ALL_TERMS)
    sought, restored = first_choice(facts, terms), None
    if isinstance(sought, SnapshotSought) and terms.max_replay is not None and draw(st.booleans()):
        offset = draw(st.integers(0, sought.at_most))
        begun = min(offset, draw(OFFSETS)) if sought.since is None else sought.since
        if begun <= offset:
            restored = Restored(offset, begun, sought.born or "x", 1)
    return facts, terms, restored


@given(situations())
def test_no_tick_is_skipped_none_stepped_twice_and_none_is_beyond_the_committed_offset(
    situation: tuple[RecoveryFacts, RecoveryTerms, Restored | None],
) -> None:
    facts, terms, restored = situation
    choice, _ = chosen(facts, terms, restored)
    has_seen = {  # up to where the rows have seen all of their state's ticks, before anything is replayed
        Way.MEMORY: facts.memory.position if facts.memory else None,
        Way.SNAPSHOT: restored.offset if restored else None,
    } | dict.fromkeys(FROM_FRESH_ROWS, choice.pedigree.since)
    assert choice.start == has_seen[choice.way]
    assert choice.start <= choice.stop
    assert choice.start == choice.stop or choice.start >= facts.first, "what is replayed is there"
    committed = facts.committed
    if committed is None or choice.way is Way.GAP:
        assert choice.stop == facts.first, "the first tick there is comes next"
        assert committed is None or committed < facts.first, "only what is gone is passed over"
    elif choice.stop > committed:
        assert choice.way is Way.MEMORY
        assert facts.memory is not None
        assert facts.memory.committed == committed, "what is ahead was published by this worker"
    else:
        assert choice.stop == committed


@given(situations())
def test_a_state_bears_the_pedigree_of_the_committed_one_exactly_when_it_is_that_state(
    situation: tuple[RecoveryFacts, RecoveryTerms, Restored | None],
) -> None:
    facts, terms, restored = situation
    choice, _ = chosen(facts, terms, restored)
    assert (choice.pedigree.model, choice.pedigree.fingerprint) == (terms.model, terms.fingerprint)
    written, committed = facts.written, facts.committed
    if written is None or committed is None:
        return
    is_same = written.fingerprint == terms.fingerprint and written.since <= committed
    if choice.way in (Way.NEW, Way.WARMUP, Way.GAP):
        assert not (is_same and choice.pedigree.is_kin(written)), "another state says so"
    elif is_same:
        assert choice.pedigree.since == written.since
        assert not written.born or choice.pedigree.born == written.born
    else:
        assert choice.way is Way.SNAPSHOT, "of another state nothing but its offset is gone on with"

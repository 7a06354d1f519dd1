"""Verifies one partition: reads what was published, then the input, and judges. Owns the order of the readings.

Committed offset, outputs, committed offset again, input: so that a service may run on meanwhile. What is below the
first must be there; what is not below the second was not committed when the outputs were read.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import NamedTuple

from streamrnn.codecs.keys import to_text
from streamrnn.config import Settings
from streamrnn.errors import BrokerError, ConfigError
from streamrnn.kafka.marks import Mark
from streamrnn.kafka.reading.log import LogExtent
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.ticks import NO_INDEX, Record
from streamrnn.verifying.faults import Example, Faults
from streamrnn.verifying.found import FoundLetters, FoundPredictions, FoundRecords
from streamrnn.verifying.judgement import Judge, Stretch, StretchRules
from streamrnn.verifying.places import index_of, offset_of
from streamrnn.verifying.plan import Basis, PlannedStretch, VerifyPlan, make_plan
from streamrnn.verifying.reciting import EarlierStretch, Reciter, Reciters
from streamrnn.verifying.report import Fault, PartitionReport
from streamrnn.verifying.topics import Topics


class VerifyProgress(NamedTuple):
    """What is being read of a partition, and how many offsets of how many are behind."""

    partition: int
    doing: str
    done: int
    total: int


Watch = Callable[[VerifyProgress], None]


class VerifyTerms(NamedTuple):
    """What all partitions have in common; since: the state's first tick where no pedigree tells it."""

    settings: Settings
    is_exact: bool
    since: int | None
    limit: int


class PartitionCheck:
    """One partition, once."""

    def __init__(
        self,
        partition: int,
        terms: VerifyTerms,
        topics: Topics,
        reciters: Reciters,
        watch: Watch,
    ) -> None:
        self._partition, self._terms, self._topics = partition, terms, topics
        self._reciters, self._watch = reciters, watch
        self._recite(reciters.given)
        self._faults = Faults(terms.limit)
        self._records = self._ticks = 0

    def _recite(self, reciter: Reciter) -> None:
        self._reciter, self._thread = reciter, reciter.thread
        self._recomputing, self._content = reciter.recomputing, reciter.recomputing.content

    async def run(self) -> PartitionReport:
        """Read, recompute, judge; ConfigError when another model served."""
        settings, number = self._terms.settings, self._partition
        mark = await self._mark()
        self._recite(self._reciters.speaking(pedigree_of(mark)))
        pedigree = check_pedigree(number, mark, self._reciter)
        predictions = FoundPredictions(number, self._content)
        letters = FoundLetters(number, settings.input.topic)
        output = await self._gather(settings.output.topic, predictions)
        dead = await self._gather(settings.dead_letter_topic, letters)
        settled = await self._mark()
        source = await self._topics.extent(settings.input.topic, number)
        basis = self._basis(mark, pedigree, settled, source)._replace(output=output, dead=dead)
        if source.start > basis.since:
            basis = await self._placed(basis)
        notes = _assumptions(basis, mark, pedigree, letters)
        if pedigree is not None:
            earlier, unchecked = self._reciters.earlier(pedigree, source.start)
            basis = basis._replace(presence_below=earlier[-1].spoken.served_from if earlier else None)
            return await self._judge(basis, predictions, letters, notes + unchecked, earlier)
        return await self._judge(basis, predictions, letters, notes, [])

    async def _mark(self) -> Mark | None:
        return (await self._topics.marks([self._partition]))[self._partition]

    async def _gather(self, topic: str, found: FoundRecords) -> LogExtent:
        """Take the whole log."""
        extent = await self._topics.extent(topic, self._partition)
        async with aclosing(self._topics.read(topic, self._partition, extent.start, extent.stop)) as batches:
            async for records in batches:
                await self._thread.call(found.take, records)
                self._say(topic, records[-1].offset + 1 - extent.start, extent.stop - extent.start)
        return extent

    def _basis(
        self, mark: Mark | None, pedigree: Pedigree | None, settled: Mark | None, source: LogExtent
    ) -> Basis:
        since = served_from = source.start if self._terms.since is None else self._terms.since
        if pedigree is not None:
            since, served_from = pedigree.since, pedigree.served_from
        committed = since if mark is None else mark.offset
        return Basis(
            since=since,
            born=None if pedigree is None else pedigree.born,
            placed=since,
            served_from=served_from,
            committed=committed,
            settled=committed if settled is None else max(committed, settled.offset),
            is_exact=self._terms.is_exact,
            may_drop=self._recomputing.may_drop,
            source=source,
            output=source,
            dead=source,
        )

    async def _placed(self, basis: Basis) -> Basis:
        """With the oldest snapshot from which the input goes on, if there is one."""
        stop = min(basis.committed, basis.source.stop)
        at = await self._thread.call(
            self._reciter.snapshots.place, self._partition, basis.source.start, stop, basis.since, basis.born
        )
        return basis if at is None else basis._replace(placed=at)

    async def _judge(
        self,
        basis: Basis,
        predictions: FoundPredictions,
        letters: FoundLetters,
        notes: list[str],
        earlier: Sequence[EarlierStretch],
    ) -> PartitionReport:
        said, refused = predictions.sealed(), letters.sealed()
        plan = make_plan(basis, said, refused)
        found = (said, predictions.names, refused, letters.names, self._faults)
        judge, before = Judge(self._reciter.label, *found), 0
        self._note_foreign("unexpected", predictions)
        self._note_foreign("letter_unexpected", letters)
        for step in plan.steps:
            await self._take(step, judge, plan)
        judge.beyond(plan.stop if not plan.unchecked else max(plan.stop, basis.committed))
        await self._thread.call(self._recomputing.forget, self._partition)
        for stretch in earlier:
            before += await self._take_earlier(stretch, Judge(stretch.spoken.model, *found))
        return PartitionReport(
            partition=self._partition,
            since=basis.since,
            served_from=basis.served_from,
            committed=basis.committed,
            records=self._records,
            ticks=self._ticks,
            checked=judge.checked + before,
            not_recomputed=judge.not_recomputed - before,
            ahead=judge.ahead,
            letters=judge.letters,
            broker_refused=judge.broker_refused,
            counts=dict(self._faults.counts),
            examples=await self._examples(),
            notes=tuple(notes + plan.notes + self._unreadable()),
            unchecked=plan.unchecked,
        )

    def _unreadable(self) -> list[str]:
        """What of the topics nobody can read, in words."""
        settings, skipped = self._terms.settings, self._topics.skipped
        topics = (settings.input.topic, settings.output.topic, settings.dead_letter_topic)
        counts = {topic: skipped[topic, self._partition] for topic in topics}
        return [f"{n} offsets of {topic} cannot be read and were passed over" for topic, n in counts.items() if n]

    async def _take(self, step: PlannedStretch, judge: Judge, plan: VerifyPlan) -> None:
        """One stretch: its records in lists, and the offsets between them that hold none."""
        topic, (start, stop, rules) = self._terms.settings.input.topic, step.stretch
        async with aclosing(self._topics.read(topic, self._partition, start, stop)) as batches:
            async for records in batches:
                part = Stretch(start, records[-1].offset + 1, rules)
                await self._thread.call(self._weigh, step, judge, part, records)
                start = part.stop
                self._say(topic, start - plan.start, plan.stop - plan.start)
        await self._thread.call(self._weigh, step, judge, Stretch(start, stop, rules), [])

    def _weigh(self, step: PlannedStretch, judge: Judge, part: Stretch, records: Sequence[Record]) -> None:
        self._records += len(records)
        self._ticks += len(records) if step.has_state else 0
        if step.is_recomputed:
            judge.recomputed(part, self._recomputing.step(records))
            return
        if step.has_state:
            self._recomputing.warm(records)
        judge.present(part, *self._recomputing.places(records))

    async def _take_earlier(self, stretch: EarlierStretch, judge: Judge) -> int:
        """What another speaker has said before: how many of its predictions were recomputed and compared."""
        topic, spoken = self._terms.settings.input.topic, stretch.spoken
        for start, stop in ((spoken.since, spoken.served_from), (spoken.served_from, stretch.until)):
            async with aclosing(self._topics.read(topic, self._partition, start, stop)) as batches:
                async for records in batches:
                    await stretch.reciter.thread.call(self._compare, stretch, judge, records)
                    self._say(topic, records[-1].offset - spoken.since, stretch.until - spoken.since)
        await stretch.reciter.thread.call(stretch.reciter.recomputing.forget, self._partition)
        return judge.checked

    def _compare(self, stretch: EarlierStretch, judge: Judge, records: Sequence[Record]) -> None:
        """Records of before it spoke, or of after."""
        first, recomputing = records[0].offset, stretch.reciter.recomputing
        if first < stretch.spoken.served_from:
            return recomputing.warm(records)
        part = Stretch(first, records[-1].offset + 1, StretchRules())
        return judge.agreed(part, recomputing.step(records), is_alone=self._terms.is_exact)

    def _say(self, topic: str, done: int, total: int) -> None:
        self._watch(VerifyProgress(self._partition, topic, done, total))

    def _note_foreign(self, kind: str, found: FoundRecords) -> None:
        examples = (Example(None, at, key, "the source position of a tick", why) for at, key, why in found.foreign)
        self._faults.add(kind, found.foreign_count, examples)

    # Examples

    async def _examples(self) -> tuple[Fault, ...]:
        kinds = self._faults.examples
        return tuple([await self._fault(kind, example) for kind in kinds for example in kinds[kind]])

    async def _fault(self, kind: str, example: Example) -> Fault:
        """An example with what stands in the log, read once more: only digests were kept."""
        settings, found, key = self._terms.settings, example.found, example.key
        expected, name = example.expected, self._name
        if example.value is not None:
            expected = self._content.shown(example.value)
        if example.at is not None and (not found or key is None):
            is_letter = kind.startswith("letter_") or found.startswith("dead letter")
            topic = settings.dead_letter_topic if is_letter else settings.output.topic
            record = await self._reread(topic, example.at)
            if record is not None:
                key = record.key
                found = found or self._content.shown(record.value)
                if example.value is not None:
                    expected, found = self._content.differences(example.value, record.value)
                if example.key not in (None, key):
                    expected, found = f"key {name(example.key)}, {expected}", f"key {name(key)}, {found}"
        stream = name(key)
        source = None if example.source is None else offset_of(example.source)
        index = NO_INDEX if example.source is None else index_of(example.source)
        listed = None if index == NO_INDEX else index
        return Fault(kind, self._partition, source, example.at, stream, expected, found, listed)

    def _name(self, key: bytes | None) -> str:
        return "" if key is None else to_text(key, self._terms.settings.input.key)

    async def _reread(self, topic: str, at: int) -> Record | None:
        with suppress(BrokerError):  # retention may have been there since
            async with aclosing(self._topics.read(topic, self._partition, at, at + 1)) as batches:
                async for records in batches:
                    return records[0]
        return None


def pedigree_of(mark: Mark | None) -> Pedigree | None:
    """The pedigree beside a committed offset, None without one."""
    return None if mark is None else Pedigree.from_text(mark.metadata)


def check_pedigree(partition: int, mark: Mark | None, reciter: Reciter) -> Pedigree | None:
    """The pedigree beside a committed offset, None without one; ConfigError when it is not the model's."""
    pedigree = pedigree_of(mark)
    if pedigree is None or (pedigree.model, pedigree.fingerprint) == (reciter.label, reciter.fingerprint):
        return pedigree
    served = f"{pedigree.model} ({pedigree.fingerprint[:16]})"
    given = f"{reciter.label} ({reciter.fingerprint[:16]})"
    reason = "set model.version, model.name or model.path to that one"
    if pedigree.model == reciter.label:
        reason = "the weights, or settings that change a state, are others: verify with those that served"
    raise ConfigError(f"partition {partition} is served by {served}, the model given is {given}: {reason}")


def _assumptions(basis: Basis, mark: Mark | None, pedigree: Pedigree | None, letters: FoundLetters) -> list[str]:
    notes = []
    if mark is None:
        notes.append("the group has committed nothing here")
    elif pedigree is None:
        notes.append(f"no pedigree stands beside the offset: the state is taken to begin at {basis.since}")
    if letters.of_others:
        notes.append(f"{letters.of_others} dead letters of other topics were passed over")
    return notes

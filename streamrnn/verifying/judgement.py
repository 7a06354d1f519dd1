"""Holds what was found of a partition against what was expected, a stretch of source offsets at a time, in order.

Ticks are named by their places (see places.py). Two rules: where the model's numbers are known all must be as
expected; where an earlier model or state made them, each tick of the input must have one prediction or dead letter.
No I/O. Shapes: m expected, n found.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.ticks import OutRecord
from streamrnn.verifying.faults import Example, Faults
from streamrnn.verifying.found import NO_LABEL, FoundColumns, Places, letter_digest
from streamrnn.verifying.matching import Flags, Hits, grouped, hits_of, repeats, same_as_before
from streamrnn.verifying.places import MOST_OFFSET, offset_of, whole
from streamrnn.verifying.recomputing import Expected, Refusal

_NO_RECORD = "the input has no such record"


class StretchRules(NamedTuple):
    """What holds for a stretch: whether its predictions must be there, or must not be there yet, and whether a tick
    may leave nothing at all; nothing below the bounds need be there (retention may have deleted it)."""

    must: bool = True
    is_early: bool = False
    may_drop: bool = False
    first_prediction: int = 0
    first_letter: int = 0


class Stretch(NamedTuple):
    """Source offsets start to stop - 1."""

    start: int
    stop: int
    rules: StretchRules


class Judge:
    """One partition; stretches must come in ascending order, each once."""

    def __init__(
        self,
        label: str,
        predictions: FoundColumns,
        labels: list[tuple[str, ...]],
        letters: FoundColumns,
        letter_names: list[tuple[str, ...]],
        faults: Faults,
    ) -> None:
        self.checked = self.not_recomputed = self.letters = self.ahead = self.broker_refused = 0
        self._label, self._labels, self._letter_names = label, labels, letter_names
        self._own = labels.index((label,)) if (label,) in labels else NO_LABEL - 1
        self._predictions, self._letters, self._faults = predictions, letters, faults
        self._newest_at = -1

    def recomputed(self, stretch: Stretch, expected: Expected) -> None:
        """All must be as expected."""
        found = self._predictions.between(stretch.start, stretch.stop)
        letters = grouped(self._letters.between(stretch.start, stretch.stop))
        own = found.name == self._own
        hits = hits_of(expected.places, found.source, own)
        self._unexpected(found, hits.is_hit, expected.places, expected.refused)
        self._differing(found, hits, expected)
        again = hits.is_hit & repeats(found.source, hits.is_hit)
        self._doubled(found, again)
        self._in_order(found, hits.is_hit & ~again)
        self._missing(stretch.rules, expected, hits.copies, letters)
        self._dead_letters(stretch.rules, expected, hits.copies, letters)
        self.checked += int(hits.is_hit.sum())
        self._note_ahead(stretch.rules, found, letters)

    def agreed(self, stretch: Stretch, expected: Expected, *, is_alone: bool) -> None:
        """What this model has said must be as expected; whether each tick has an answer is judged by `present`.

        is_alone: nobody else may have said anything of the ticks.
        """
        found = self._predictions.between(stretch.start, stretch.stop)
        own = found.name == self._own
        hits = hits_of(expected.places, found.source, own)
        self._differing(found, hits, expected)
        if is_alone:
            self._unexpected(found, own | ~np.isin(found.source, expected.places), expected.places, {})
        self.checked += int(hits.is_hit.sum())

    def present(self, stretch: Stretch, places: Places, silent: Flags) -> None:
        """Each tick of the input, at these places, must have a prediction of any model, or a dead letter; the
        silent may have one, and none of a list that was refused as a whole need."""
        rules, found = stretch.rules, self._predictions.between(stretch.start, stretch.stop)
        letters = self._letters.between(stretch.start, stretch.stop)
        hits = hits_of(places, found.source, found.name != NO_LABEL)
        answers = hits_of(places, letters.source, letters.name != NO_LABEL)
        self._unexpected(found, hits.is_hit, places, {})
        again, same = hits.is_hit & repeats(found.source, hits.is_hit), same_as_before(found)
        self._doubled(found, again & same)
        self._faults.add(
            "differing",
            int((again & ~same).sum()),
            (
                Example(
                    int(found.source[n]), int(found.at[n]), expected="one content for one tick", found="another"
                )
                for n in np.flatnonzero(again & ~same).tolist()
            ),
        )
        self._in_order(found, hits.is_hit & ~again)
        self._letters_present(letters, answers, hits.copies)
        self._note_ahead(rules, found, grouped(letters))
        lowest = max(rules.first_prediction, rules.first_letter)
        is_answered = (hits.copies + answers.copies > 0) | np.isin(whole(places), letters.source)
        gone = ~is_answered & (offset_of(places) >= lowest) & ~silent
        if rules.must and not rules.may_drop:
            wanted = "a prediction or a dead letter"
            examples = (Example(int(place), expected=wanted, found="neither") for place in places[gone])
            self._faults.add("missing", int(gone.sum()), examples)
        self.not_recomputed += int(hits.is_hit.sum())

    def beyond(self, stop: int) -> None:
        """What names ticks from `stop` on, which the input does not hold."""
        rest = self._predictions.between(stop, MOST_OFFSET)
        self._unexpected(rest, np.zeros(len(rest.source), np.bool_), np.zeros(0, np.int64), {})
        for place, rows in grouped(self._letters.between(stop, MOST_OFFSET)).items():
            self._letter_fault("letter_unexpected", place, rows, f"nothing: {_NO_RECORD}")

    # Predictions

    def _unexpected(self, found: FoundColumns, is_hit: Flags, places: Places, refused: dict[int, Refusal]) -> None:
        """Predictions without a tick, and those of another model."""

        def example(n: int) -> Example:
            source, code = int(found.source[n]), int(found.name[n])
            if source in refused:
                why = f"the tick is refused, {refused[source].code or 'and dropped'}"
            elif (places == source).any():
                why = f"of model {'(none)' if code == NO_LABEL else self._labels[code][0]} there is to be none here"
            else:
                why = _NO_RECORD
            return Example(source, int(found.at[n]), expected=f"nothing: {why}")

        self._faults.add("unexpected", int((~is_hit).sum()), map(example, np.flatnonzero(~is_hit).tolist()))

    def _differing(self, found: FoundColumns, hits: Hits, expected: Expected) -> None:
        rows = np.flatnonzero(hits.is_hit)
        wrong = rows[(found.digest[rows] != expected.digest[hits.slot[rows]]).any(axis=1)]

        def example(n: int) -> Example:
            said = expected.records[int(hits.slot[n])]
            return Example(int(found.source[n]), int(found.at[n]), said.key, value=said.value)

        self._faults.add("differing", len(wrong), map(example, wrong.tolist()))

    def _doubled(self, found: FoundColumns, again: Flags) -> None:
        def example(n: int) -> Example:
            said = f"the same again as at output offset {int(found.at[n - 1])}"
            return Example(int(found.source[n]), int(found.at[n]), expected="one prediction", found=said)

        self._faults.add("doubled", int(again.sum()), map(example, np.flatnonzero(again).tolist()))

    def _in_order(self, found: FoundColumns, is_first: Flags) -> None:
        """The first predictions of ascending ticks stand at ascending places."""
        source, at = found.source[is_first], found.at[is_first]
        if not len(at):
            return
        newest = np.maximum.accumulate(np.concatenate(([self._newest_at], at)))
        wrong = np.flatnonzero(at < newest[:-1])

        def example(n: int) -> Example:
            behind = f"behind the earlier tick's at output offset {int(newest[n])}"
            return Example(int(source[n]), int(at[n]), expected=behind, found="ahead of it")

        self._faults.add("reordered", len(wrong), map(example, wrong.tolist()))
        self._newest_at = int(newest[-1])

    def _missing(
        self, rules: StretchRules, expected: Expected, copies: NDArray[np.intp], letters: dict[int, FoundColumns]
    ) -> None:
        if not rules.must:
            return
        gone = np.flatnonzero((copies == 0) & (offset_of(expected.places) >= rules.first_prediction))
        rows = [n for n in gone.tolist() if not self._is_refusal(letters.get(int(expected.places[n])))]

        def example(n: int) -> Example:
            said: OutRecord = expected.records[n]
            return Example(int(expected.places[n]), key=said.key, found="no prediction", value=said.value)

        self._faults.add("missing", len(rows), map(example, rows))

    def _note_ahead(self, rules: StretchRules, found: FoundColumns, letters: dict[int, FoundColumns]) -> None:
        if not rules.must:
            self.ahead += len(found.source) + sum(len(rows.source) for rows in letters.values())
        if rules.is_early:
            early = "nothing yet: its offset is not committed"
            rows = zip(found.source.tolist(), found.at.tolist(), strict=True)
            examples = (Example(source, at, expected=early) for source, at in rows)
            self._faults.add("ahead", len(found.source), examples)
            for place, copies in letters.items():
                self._letter_fault("ahead", place, copies, early)

    # Dead letters

    def _is_refusal(self, rows: FoundColumns | None) -> bool:
        """Whether one of a tick's dead letters says that the broker refused its prediction."""
        return rows is not None and any(self._letter_names[code][1] == "publish" for code in rows.name.tolist())

    def _dead_letters(
        self, rules: StretchRules, expected: Expected, copies: NDArray[np.intp], letters: dict[int, FoundColumns]
    ) -> None:
        for place, refusal in expected.refused.items():
            rows = letters.get(place)
            if rows is not None:
                self._refused(place, refusal, rows)
            elif refusal.code is not None and rules.must and offset_of(place) >= rules.first_letter:
                wanted = f"a dead letter, {refusal.code}"
                self._faults.one("letter_missing", Example(place, None, refusal.record.key, wanted, "none"))
        for place in letters.keys() - expected.refused.keys():
            slot = int(np.searchsorted(expected.places, place))
            if slot == len(expected.places) or expected.places[slot] != place:
                self._letter_fault("letter_unexpected", place, letters[place], f"nothing: {_NO_RECORD}")
            elif copies[slot] or not self._is_refusal(letters[place]):
                self._letter_fault("letter_unexpected", place, letters[place], "none: it is a good tick")
            else:
                self.broker_refused += 1
                self._letter_fault("letter_doubled", place, letters[place], "one dead letter", 1)

    def _refused(self, place: int, refusal: Refusal, rows: FoundColumns) -> None:
        """A refused tick's dead letters: one, with its code, its model and, if any, its value."""
        if refusal.code is None:
            return self._letter_fault("letter_unexpected", place, rows, "none: it is to be dropped")
        self._letter_fault("letter_doubled", place, rows, "one dead letter", 1)
        whole = np.frombuffer(letter_digest(refusal.record.key, refusal.record.value), np.uint64)
        for n, name in enumerate(rows.name.tolist()):
            model, _, code = self._letter_names[name]
            if (code, model) != (refusal.code, self._label):
                said = f"{code} of model {model}"
                wanted = f"{refusal.code} of model {self._label}"
            elif rows.digest[n].any() and (rows.digest[n] != whole).any():
                wanted, said = "the record's own key and value, or no value", "others"
            else:
                self.letters += 1
                continue
            self._faults.one("letter_differing", Example(place, int(rows.at[n]), refusal.record.key, wanted, said))
        return None

    def _letters_present(self, letters: FoundColumns, answers: Hits, predictions: NDArray[np.intp]) -> None:
        for place, rows in grouped(letters.rows(~answers.is_hit)).items():
            self._letter_fault("letter_unexpected", place, rows, f"nothing: {_NO_RECORD}")
        again = answers.is_hit & repeats(letters.source, answers.is_hit)
        for place, rows in grouped(letters.rows(again)).items():
            self._letter_fault("letter_doubled", place, rows, "one dead letter")
        both = answers.is_hit & ~again
        both[both] = predictions[answers.slot[both]] > 0
        for place, rows in grouped(letters.rows(both)).items():
            self._letter_fault("letter_unexpected", place, rows, "none: it has a prediction")

    def _letter_fault(self, kind: str, place: int, rows: FoundColumns, expected: str, first: int = 0) -> None:
        """The copies of a dead letter from the `first` on are at fault."""
        for at, name in zip(rows.at[first:].tolist(), rows.name[first:].tolist(), strict=True):
            _, stage, code = self._letter_names[name]
            self._faults.one(kind, Example(place, at, None, expected, f"dead letter: {stage} {code}"))

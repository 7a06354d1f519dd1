"""What becomes of ticks that yield no prediction: dead letters, or a count. No I/O."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from streamrnn.codecs import dead_letter_record
from streamrnn.config import Settings
from streamrnn.ticks import STATUS, DeadLetter, OutRecord, Place, PredictionBatch, Record, RecordColumns

Element = Callable[[Record, int], Record]
"""A record of its own for the tick at an index of a list; any other record as it is."""
_SAID = {
    "not_finite": ("step", "the model gave a state or prediction that is not finite; the stream keeps its state"),
    "quarantined": ("step", "too many ticks of this stream in a row gave nothing finite; few of them are tried"),
    "duplicate": ("order", "the stream has already had a tick with this time or sequence number"),
    "out_of_order": ("order", "the stream has already had a newer tick"),
    "late": ("order", "the tick is further behind its stream's newest than input.late_after_s"),
}
"""By status: the stage and message of the dead letter."""


def is_dropped(status: str, settings: Settings) -> bool:
    """Whether a tick that was refused so is only counted."""
    policies = {
        "duplicate": settings.input.duplicates,
        "out_of_order": settings.input.out_of_order,
        "late": settings.input.late,
    }
    return policies.get(status) == "drop"


def refused_ticks(
    records: RecordColumns, predictions: PredictionBatch, settings: Settings, element: Element
) -> tuple[list[DeadLetter], Counter[str]]:
    """Dead letters of the ticks that the engine refused, and how many were dropped, by status."""
    if predictions.ok.all():
        return [], Counter()
    bad = (~predictions.ok).nonzero()[0]
    named = [STATUS[code] for code in predictions.status[bad].tolist()]
    said = zip(predictions.ticks.places(bad), named, strict=True)
    dead = {place: status for place, status in said if not is_dropped(status, settings)}
    letters = [
        DeadLetter(record, _SAID[dead[place]][0], dead[place], _SAID[dead[place]][1], place[2])
        for place, record in _records_of(dead, records, element)
    ]
    return letters, Counter(status for status in named if is_dropped(status, settings))


def _records_of(
    places: Collection[Place], records: RecordColumns, element: Element
) -> Iterator[tuple[Place, Record]]:
    """The records of ticks at these places, in that order, where they are among these."""
    rows = np.isin(records.offset, [offset for _, offset, _ in places])
    found = {(r.partition, r.offset): r for r in records.take(rows)}
    for place in places:
        record = found.get(place[:2])
        if record is not None:
            yield place, element(record, place[2])


class Bareness(IntEnum):
    """How much of a dead letter is left out, because the broker refused it with more."""

    WHOLE = 0
    WITHOUT_VALUE = 1
    REASON_ALONE = 2

    def barer(self) -> "Bareness":
        """The next level; the barest stays so."""
        return Bareness(min(self + 1, Bareness.REASON_ALONE))


@dataclass(slots=True)
class BrokerRefusals:
    """What the broker refused for good, by the tick's place: it goes otherwise when it is sent again.

    predictions: why. letters: how it is to go.
    """

    predictions: dict[Place, str] = field(default_factory=dict)
    letters: dict[Place, Bareness] = field(default_factory=dict)

    def note(self, is_letter: bool, reasons: Mapping[Place, str]) -> None:
        """Take note of a refusal."""
        if is_letter:
            self.letters |= {place: self.letters.get(place, Bareness.WHOLE).barer() for place in reasons}
        else:
            self.predictions.update(reasons)

    def forget(self, committed: Mapping[int, int]) -> None:
        """What lies below the committed offsets is not sent again."""
        if self.predictions or self.letters:
            self.predictions = {p: why for p, why in self.predictions.items() if p[1] >= committed.get(p[0], 0)}
            self.letters = {p: bareness for p, bareness in self.letters.items() if p[1] >= committed.get(p[0], 0)}

    def predictions_of(self, records: RecordColumns, element: Element) -> list[DeadLetter]:
        """Dead letters of the ticks in these records whose prediction was refused."""
        if not self.predictions:
            return []
        found = _records_of(sorted(self.predictions), records, element)
        return [DeadLetter(r, "publish", "refused", self.predictions[place], place[2]) for place, r in found]

    def letter(self, letter: DeadLetter, topic: str, model: str) -> OutRecord:
        """The dead letter's record, as much of it as the broker takes."""
        bareness = self.letters.get(letter.place, Bareness.WHOLE)
        if bareness is not Bareness.REASON_ALONE:
            record = dead_letter_record(letter, topic, model)
            return record if bareness is Bareness.WHOLE else record._replace(value=None)
        bare = letter.record._replace(timestamp_ms=int(time.time() * 1000), key=None, value=None, headers=())
        return dead_letter_record(letter._replace(record=bare), topic, model)

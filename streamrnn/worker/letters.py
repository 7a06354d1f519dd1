"""What becomes of ticks that yield no prediction: dead letters, or a count. No I/O."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streamrnn.codecs import dead_letter_record
from streamrnn.config import Settings
from streamrnn.ticks import STATUS, DeadLetter, OutRecord, PredictionBatch, Record

Place = tuple[int, int]
"""(partition, offset) of a tick."""
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
    records: Iterable[Record], predictions: PredictionBatch, settings: Settings
) -> tuple[list[DeadLetter], Counter[str]]:
    """Dead letters of the ticks that the engine refused, and how many were dropped, by status."""
    if predictions.ok.all():
        return [], Counter()
    bad = (~predictions.ok).nonzero()[0]
    ticks = predictions.ticks
    named = [STATUS[code] for code in predictions.status[bad].tolist()]
    places = zip(ticks.partition[bad].tolist(), ticks.offset[bad].tolist(), strict=True)
    dead = {p: status for p, status in zip(places, named, strict=True) if not is_dropped(status, settings)}
    letters = [
        DeadLetter(r, _SAID[status][0], status, _SAID[status][1])
        for r in records
        if (status := dead.get((r.partition, r.offset))) is not None
    ]
    return letters, Counter(status for status in named if is_dropped(status, settings))


@dataclass(slots=True)
class Refusals:
    """What the broker refused for good, by the tick's place: it goes otherwise when it is sent again.

    predictions: why. letters: 1 to go without its value, 2 with its reason alone.
    """

    predictions: dict[Place, str] = field(default_factory=dict)
    letters: dict[Place, int] = field(default_factory=dict)

    def note(self, is_letter: bool, reasons: Mapping[Place, str]) -> None:
        """Take note of a refusal."""
        if is_letter:
            self.letters.update({place: self.letters.get(place, 0) + 1 for place in reasons})
        else:
            self.predictions.update(reasons)

    def forget(self, committed: Mapping[int, int]) -> None:
        """What lies below the committed offsets is not sent again."""
        if self.predictions or self.letters:
            self.predictions = {p: why for p, why in self.predictions.items() if p[1] >= committed.get(p[0], 0)}
            self.letters = {p: level for p, level in self.letters.items() if p[1] >= committed.get(p[0], 0)}

    def predictions_of(self, records: list[Record]) -> list[DeadLetter]:
        """Dead letters of the records whose prediction was refused."""
        if not self.predictions:
            return []
        found = ((r, self.predictions.get((r.partition, r.offset))) for r in records)
        return [DeadLetter(r, "publish", "refused", why) for r, why in found if why is not None]

    def letter(self, letter: DeadLetter, topic: str, model: str) -> OutRecord:
        """The dead letter's record, as much of it as the broker takes."""
        level = self.letters.get((letter.record.partition, letter.record.offset), 0) if self.letters else 0
        if level < 2:
            record = dead_letter_record(letter, topic, model)
            return record._replace(value=None) if level else record
        bare = letter.record._replace(timestamp_ms=int(time.time() * 1000), key=None, value=None, headers=())
        return dead_letter_record(letter._replace(record=bare), topic, model)

"""Which ticks of the test part are as new to the champion as to the new model."""

from collections.abc import Sequence

import numpy as np

from streamrnn.process.terminal import moment
from streamrnn.retraining.champion import SeenTimes, ServingModel
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.moments import timeline
from streamrnn.train.significance import LEAST_MOMENTS
from streamrnn.train.windows import count_origins


def fair_part(
    history: History, split: Split, champion: ServingModel | None, longest: int, has_own_times: bool
) -> tuple[list[Extent], list[str]]:
    """The test part, without what the champion was trained on if enough is left then, and what is to be said of it.

    longest: ticks ahead; has_own_times: streams are split each at times of its own, so that one time says nothing.
    """
    if champion is None or champion.model is None or champion.seen is None:
        return split.test, []
    seen = champion.seen
    if not _overlaps(history, split.test, seen) or _span(history, [*split.train, *split.validation]) == seen:
        return split.test, []
    trained = f"{champion.label} was trained on ticks up to {moment(seen.until_ms)}, which is within the test part"
    if has_own_times:
        return split.test, [f"{trained}: its score may be flattered; streams have no time of parting in common"]
    rest = _after(history, split.test, seen.until_ms)
    if not _is_enough(history, rest, longest):
        return split.test, [f"{trained}: its score is flattered, and too few ticks come after that to judge by"]
    left, whole = (sum(extent.length for extent in part) for part in (rest, split.test))
    return rest, [f"{trained}: all are judged on the {left:,} of its {whole:,} ticks that come later"]


def _is_enough(history: History, part: Sequence[Extent], longest: int) -> bool:
    """Whether forecasts from it can show anything."""
    forecasts = sum(len(count_origins(extent, longest)) for extent in part)
    return forecasts >= LEAST_MOMENTS and len(timeline(history, part, longest).begins) >= LEAST_MOMENTS


def _overlaps(history: History, part: Sequence[Extent], seen: SeenTimes) -> bool:
    first, last = _span(history, part)
    return first <= seen.until_ms and seen.from_ms <= last


def _span(history: History, part: Sequence[Extent]) -> SeenTimes:
    times = [history.time_ms[extent.start : extent.stop] for extent in part]
    return SeenTimes(int(min(own.min() for own in times)), int(max(own.max() for own in times)))


def _after(history: History, part: Sequence[Extent], until_ms: int) -> list[Extent]:
    """What of each stream is later, from the first such tick on."""
    rest = []
    for extent in part:
        reached = np.maximum.accumulate(history.time_ms[extent.start : extent.stop])
        begins = extent.start + int(np.searchsorted(reached, until_ms, side="right"))
        if begins < extent.stop:
            rest.append(extent._replace(start=begins))
    return rest

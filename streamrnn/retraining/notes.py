"""What a reader of the scores must know, in sentences for terminal and page."""

from collections.abc import Sequence

from streamrnn.retraining.verdict import times
from streamrnn.train.retrain_report import Score, StreamScore, StreamScores, Unscored
from streamrnn.train.stream_scores import LEAST_TRUTHS, is_worse

MOST_NAMES = 3


def notes_of(scores: Sequence[Score], streams: StreamScores, unscored: Sequence[Unscored]) -> list[str]:
    """Of what has no score, and of streams that are worse off with the model than without any."""
    persistence = next(n for n, score in enumerate(scores) if score.kind == "persistence")
    return [*map(_constant, unscored), *_worse(streams, persistence)]


def _constant(one: Unscored) -> str:
    """Such as: rain is constant in the training part: it has no score."""
    if one.count == one.of:
        return f"{one.target} is constant in the training part: it has no score"
    named = _named(one.streams[:MOST_NAMES], one.count)
    where = f"the training part of {one.count:,} of {one.of:,} streams"
    return f"{one.target} is constant in {where} and has no score there: {named}"


def _worse(streams: StreamScores, persistence: int) -> list[str]:
    """Nothing of a single stream: the verdict says it."""
    if streams.judged < 2 or not streams.worse[0]:
        return []
    worst = [row for row in streams.rows if _is_worse(row, persistence)][:MOST_NAMES]
    named = _named([f"{row.stream} ({_times(row, persistence)})" for row in worst], streams.worse[0])
    counted = f"{streams.worse[0]:,} of {streams.judged:,} streams ({streams.share_worse(0):.1%})"
    return [f"worse than persistence on {counted}: {named}"]


def _is_worse(row: StreamScore, persistence: int) -> bool:
    error, base = row.std_mse[0], row.std_mse[persistence]
    return row.truths >= LEAST_TRUTHS and is_worse(error, base)


def _times(row: StreamScore, persistence: int) -> str:
    base = row.std_mse[persistence]
    return f"{times(row.std_mse[0] / base)} its error" if base else "which errs not at all"


def _named(names: Sequence[str], of: int) -> str:
    more = f" and {of - len(names):,} more" if of > len(names) else ""
    return ", ".join(names) + more

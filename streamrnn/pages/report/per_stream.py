"""The section on single streams: which fare worst and best, and how many are worse than persistence."""

from collections.abc import Sequence

from streamrnn.pages.formats import aligned, change, quotient, share, significant
from streamrnn.pages.markup import Markup, cell, join, named, table, tag
from streamrnn.pages.report import compared as who
from streamrnn.pages.report.compared import Contender
from streamrnn.train.retrain_report import RetrainReport, StreamScore

MOST_ROWS = 10
"""Of the worst and of the best; where all are few more, all are shown."""


def streams(report: RetrainReport) -> Markup:
    """Nothing where there is one stream: its error is in every other table."""
    found = who.contenders(report)
    if report.streams.scored < 2 or not found:
        return Markup("")
    rows = report.streams.rows
    parts = [_how_many(report), _spread(report)]
    if report.streams.scored == len(rows) <= 2 * MOST_ROWS:
        return join([*parts, _table("All streams, the worst first", rows, found)])
    parts += [_table("Worst streams", rows[:MOST_ROWS], found)]
    parts += [_table("Best streams", rows[: -MOST_ROWS - 1 : -1], found)]
    left = tag("p", f"{_listed(report)} are in report.json.", class_="soft")
    return join([*parts, left])


def _listed(report: RetrainReport) -> str:
    listed, scored = len(report.streams.rows), report.streams.scored
    return f"All {scored:,}" if listed == scored else f"{listed:,} of {scored:,}, the worst and the best,"


def _how_many(report: RetrainReport) -> Markup:
    """Worse streams by contender."""
    of = report.streams
    words = f"{of.scored:,} streams have a score. Each counts alike, in deviations of its own training part."
    if not of.judged:
        return tag("p", words, " None has truths enough to be judged by itself.", class_="soft")
    part = share(of.worse[0], of.judged)
    own = f" The model is worse than persistence on {of.worse[0]:,} of {of.judged:,} ({part})"
    others = [
        join([named(score.name, 48), f" on {worse:,}"], "")
        for score, worse in zip(report.scores[1:], of.worse[1:], strict=True)
        if score.kind != "persistence"
    ]
    return tag("p", words, tag("b", own), *([", ", join(others, ", ")] if others else []), ".", class_="soft")


def _spread(report: RetrainReport) -> Markup:
    """Quantiles over the streams of the model's error beside persistence's."""
    of = report.streams
    head = ["Streams", *(_level(level) for level in of.levels)]
    row = ["Error \u00f7 persistence", *("\u221e" if q is None else significant(q, 3) for q in of.quantiles)]
    return table("Over the streams", head, [row]) if of.levels else Markup("")


def _level(level: float) -> str:
    return {0.0: "best", 0.5: "middle", 1.0: "worst"}.get(level, f"{100 * level:g}\u00a0%")


def _table(title: str, rows: Sequence[StreamScore], found: Sequence[Contender]) -> Markup:
    """Streams down, contenders across: standardised squared errors, over horizons and targets."""
    base = next((n for n, one in enumerate(found) if one.style == "persistence"), None)
    head = ["Stream", "Truths", *(one.name for one in found), *([] if base is None else ["Against persistence"])]
    body = []
    for row in rows:
        best = who.least(row.std_mse)
        cells = [cell(value, word, best) for value, word in zip(row.std_mse, aligned(row.std_mse), strict=True)]
        if base is not None:
            cells.append(_against(row.std_mse[0], row.std_mse[base]))
        body.append([named(row.stream, 80), f"{row.truths:,}", *cells])
    return table(title, head, body)


def _against(error: float, base: float) -> Markup:
    ratio = quotient(error, base)
    style = "" if ratio is None or ratio == 1 else " better" if ratio < 1 else " worse"
    words = "\u221e" if ratio is None and error else change(error, base)
    return tag("td", words, class_=f"n{style}")

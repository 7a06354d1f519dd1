"""The sections that say how good the model is: the verdict, the scores, error by horizon, coverage."""

from collections.abc import Mapping, Sequence

from streamrnn.pages.axes import count_axis, linear_axis
from streamrnn.pages.formats import aligned, change, fixed, quotient, share, significant, spans, trimmed
from streamrnn.pages.markup import Markup, cell, join, named, table, tag
from streamrnn.pages.plots import Curve, Dot, Plot, draw, key, legend
from streamrnn.pages.report import compared as who
from streamrnn.pages.report.compared import MAE, MSE, RAW_MAE, RAW_MSE, Contender, Measure
from streamrnn.train.retrain_report import RetrainReport, Verdict

FULL_BAR = 1.5
"""Times persistence: where a bar ends, however bad the contender."""
MANY = 12
"""Rows of a table that is folded away at first."""
MOST_NOTES = 20
AGAINST = {
    "champion": "the champion",
    "persistence": "persistence",
    "seasonal": "seasonal naive",
    "ridge": "ridge AR",
}


def _outcome(said: Verdict) -> tuple[str, str, str]:
    """The badge, how the headline ends, and the badge's style."""
    if said.promoted:
        return "Promoted", " is the new champion", "yes"
    if said.reason.startswith("written to a folder"):
        return "Judged", " was judged", "even"
    return "Not promoted", " was not promoted", "no"


def verdict(report: RetrainReport) -> Markup:
    """What became of the model, why, and its error against each other contender's."""
    said = report.verdict
    badge, words, style = _outcome(said)
    lead, *more = said.reason.split("; ")
    parts = [
        tag("p", tag("span", badge, class_=f"badge {style}"), class_="status"),
        tag("h1", named(report.spec.label, 220), words),
        tag("p", tag("span", lead, dir="auto"), class_="lead"),
        *_notes([*more, *report.notes]),
        tag("p", *_policy(report), class_="soft"),
        _tiles(who.contenders(report), {one.name: one.is_shown for one in report.comparisons}),
    ]
    return join(parts)


def _notes(said: Sequence[str]) -> list[Markup]:
    """What else a reader must know, before any table."""
    items = [tag("li", tag("span", note, dir="auto")) for note in said[:MOST_NOTES]]
    return [tag("ul", *items, class_="notes")] if items else []


def _policy(report: RetrainReport) -> list[str]:
    said = report.verdict
    before = tag("span", "champion so far: ", named(said.champion)) if said.champion else "no champion so far"
    return [f"Policy {said.policy}, margin {trimmed(said.margin)}, {_most_worse(said)}; ", before, "."]


def _most_worse(said: Verdict) -> str:
    return f"at most {share(said.max_worse_streams, 1)} of the streams worse than persistence"


def _tiles(found: Sequence[Contender], is_sure: Mapping[str, bool]) -> Markup:
    """is_sure: whether the model is shown to be better than a contender."""
    if not found:
        return Markup("")
    model, *rest = found
    own = who.overall(model.score.std_mse)
    tiles = [tag("li", tag("b", significant(own)), tag("span", "standardised MSE on the test part"), class_="own")]
    for other in rest:
        theirs = who.overall(other.score.std_mse)
        ratio = quotient(own, theirs)
        style = None if ratio is None or ratio == 1 else "better" if ratio < 1 else "worse"
        against = AGAINST.get(other.style)
        doubt = "" if is_sure.get(other.score.name, True) or style != "better" else ", may be chance"
        words = tag("span", "error against ", against or other.name, f" ({significant(theirs)}){doubt}")
        tiles.append(tag("li", tag("b", change(own, theirs)), words, class_=style))
    return tag("ul", *tiles, class_="tiles")


def scores(report: RetrainReport) -> Markup:
    """All contenders: overall, by target, by horizon."""
    found = who.contenders(report)
    if not found:
        return tag("p", "Nothing was scored.", class_="soft")
    parts = [_how(report), _overall(found)]
    if len(report.spec.horizons) > 1:
        parts += [tag("h3", "By horizon"), _horizon_plots(report, found)]
        parts += [_by_horizon(report, found, measure) for measure in (MSE, MAE)]
    parts.append(tag("h3", "By target"))
    measures = (MSE, MAE, RAW_MSE, RAW_MAE) if len(report.spec.targets) > 1 else (RAW_MSE, RAW_MAE)
    parts += [_by_target(report, found, measure, is_open=measure is measures[0]) for measure in measures]
    return join(parts)


def _how(report: RetrainReport) -> Markup:
    counts = [count for row in report.truths for count in row]
    if not counts:
        truths = "the test part"
    elif min(counts) == max(counts):
        truths = f"{counts[0]:,} truths of the test part for each horizon and target"
    else:
        truths = f"{min(counts):,} to {max(counts):,} truths of the test part for each horizon and target"
    return tag(
        "p",
        f"Mean errors on {truths}, the same for all contenders. Standardised: divided by the target\u2019s "
        "deviation in the training part of its stream (squared for MSE), so that targets and streams weigh alike. "
        "Less is better; the best is in bold.",
        class_="soft",
    )


def _overall(found: Sequence[Contender]) -> Markup:
    """One row for each contender, with its bar in times of persistence."""
    grids = [(who.overall(c.score.std_mse), who.overall(c.score.std_mae)) for c in found]
    base = who.persistence(found)
    bases = (who.overall(base.score.std_mse), who.overall(base.score.std_mae)) if base else (None, None)
    columns = [[*column] for column in zip(*grids, strict=True)]
    written = [aligned(column) for column in columns]
    rows = []
    for n, contender in enumerate(found):
        row = [tag("span", key(contender.style), tag("span", contender.name, _kind(contender)), class_="who")]
        for column, words, of in zip(columns, written, bases, strict=True):
            row.append(cell(column[n], words[n], who.least(column)))
            if base:
                row.append(_ratio(quotient(column[n], of), contender.style, with_bar=column is columns[0]))
        rows.append(row)
    ratio = ["\u00f7 persistence"] if base else []
    return table("Overall", ["Contender", MSE.title, *ratio, MAE.title, *ratio], rows, "overall")


def _kind(contender: Contender) -> Markup:
    """Said where the name does not."""
    kind = contender.score.kind
    same = contender.score.name.lower().replace(" ", "").startswith(kind.lower().replace(" ", ""))
    return Markup("") if same else tag("small", " ", named(kind, 24))


def _ratio(ratio: float | None, style: str, with_bar: bool) -> Markup:
    words = tag("span", significant(ratio, 3) if ratio is None or ratio >= 10 else fixed(ratio, 3))
    if ratio is None or not with_bar:
        return tag("td", words, class_="n")
    one = f"{100 / FULL_BAR:.2f}%"
    bar = tag("rect", width=f"{100 * min(1.0, ratio / FULL_BAR):.2f}%", height=10, y=3, class_=f"bar {style}")
    line = tag("line", x1=one, x2=one, y1=0, y2=16, class_="mark")
    return tag("td", tag("svg", bar, line, class_="bars", aria_hidden="true"), words, class_="n barred")


def _by_target(report: RetrainReport, found: Sequence[Contender], measure: Measure, is_open: bool) -> Markup:
    """Targets down, contenders across; each of the means over all horizons."""
    columns = [who.by_target(measure.of(c.score)) for c in found]
    rows = [[*row] for row in zip(*columns, strict=True)]
    together = aligned([value for row in rows for value in row], 3)
    body = []
    for n, (target, row) in enumerate(zip(report.spec.targets, rows, strict=True)):
        words = aligned(row) if measure.is_raw else together[n * len(row) : (n + 1) * len(row)]
        cells = [cell(value, word, who.least(row)) for value, word in zip(row, words, strict=True)]
        if measure.is_raw:
            cells.append(tag("td", significant(report.scale[n]), class_="n soft"))
        body.append([named(target), *cells])
    head = ["Target", *(c.name for c in found), *(["Deviation in training"] if measure.is_raw else [])]
    return _folded(table(f"{measure.title} by target", head, body), measure.title, is_open)


def _by_horizon(report: RetrainReport, found: Sequence[Contender], measure: Measure) -> Markup:
    """Horizons down, contenders across; each of the means over all targets."""
    columns = [who.by_horizon(measure.of(c.score)) for c in found]
    rows = [[*row] for row in zip(*columns, strict=True)]
    written = iter(aligned([value for row in rows for value in row]))
    body = []
    for horizon, row in zip(report.spec.horizons, rows, strict=True):
        body.append([f"{horizon:,}", *(cell(value, next(written), who.least(row)) for value in row)])
    head = ["Ticks ahead", *(c.name for c in found)]
    is_open = measure is MSE and len(body) <= MANY
    return _folded(table(f"{measure.title} by horizon", head, body), measure.title, is_open)


def _folded(content: Markup, title: str, is_open: bool) -> Markup:
    return content if is_open else tag("details", tag("summary", title), content)


def _horizon_plots(report: RetrainReport, found: Sequence[Contender]) -> Markup:
    plots = [_horizon_plot(report, found, measure) for measure in (MSE, MAE)]
    keys = legend([(key(c.style), c.name) for c in found])
    return join([keys, tag("div", *plots, class_="plots")])


def _horizon_plot(report: RetrainReport, found: Sequence[Contender], measure: Measure) -> Markup:
    """Mean over the targets, one line for each contender, the model's on top."""
    horizons = report.spec.horizons
    lines = [Curve(c.style, horizons, who.by_horizon(measure.of(c.score))) for c in reversed(found)]
    title = f"{measure.title} by horizon"
    ends = [
        f"{c.plain_name} {significant(line.ys[0])} to {significant(line.ys[-1])}"
        for c, line in zip(reversed(found), lines, strict=True)
    ]
    plot = Plot(
        key=f"horizon-{'mse' if measure is MSE else 'mae'}",
        title=title,
        description=f"From {horizons[0]} to {horizons[-1]} ticks ahead: {'; '.join(reversed(ends))}.",
        x=count_axis(horizons),
        y=linear_axis([0.0, *(y for line in lines for y in line.ys)]),
        lines=lines,
    )
    caption = tag("figcaption", tag("b", title), tag("span", f"ticks ahead: {spans(horizons)}"))
    return tag("figure", caption, draw(plot))


def coverage(report: RetrainReport) -> Markup:
    """Quantiles: the share of truths below each, against its level; empty where nobody has any."""
    levels = report.spec.quantiles
    found = [c for c in who.contenders(report) if c.score.coverage and len(c.score.coverage) == len(levels)]
    if not found or not levels:
        return Markup("")
    plot = Plot(
        key="coverage",
        title="Coverage of quantiles against their levels",
        description=f"The share of truths below each of {len(levels)} quantiles; on the diagonal it is right.",
        x=linear_axis([0, 1]),
        y=linear_axis([0, 1]),
        lines=[Curve("diagonal", [0, 1], [0, 1]), *(Curve(c.style, levels, c.score.coverage or []) for c in found)],
        dots=[
            Dot(c.style, level, below, f"{c.plain_name}: {share(below, 1)} of truths below quantile {level:g}")
            for c in found
            for level, below in zip(levels, c.score.coverage or [], strict=True)
        ],
        height=260,
    )
    caption = tag("figcaption", tag("b", "Share of truths below"), tag("span", "against the quantile\u2019s level"))
    keys = legend([(key(c.style), c.name) for c in found] + [(key("diagonal"), Markup("as it should be"))])
    figure = tag("figure", caption, draw(plot))
    return join([keys, tag("div", figure, _coverage_table(levels, found), class_="plots")])


def _coverage_table(levels: Sequence[float], found: Sequence[Contender]) -> Markup:
    body = []
    for n, level in enumerate(levels):
        shares = [(c.score.coverage or [])[n] for c in found]
        body.append([f"{level:g}", *(share(value, 1) for value in shares)])
    if len(levels) > 1:
        inside = [(c.score.coverage or [])[-1] - (c.score.coverage or [])[0] for c in found]
        body.append([f"between {levels[0]:g} and {levels[-1]:g}", *(share(value, 1) for value in inside)])
    return table("Truths below each quantile", ["Quantile", *(c.name for c in found)], body)

"""Line plots as inline SVG that stretches to any width while its words keep their size.

The outer SVG is the plot's area alone: words and grid stand at percentages of its width. The lines are in an inner
one, WIDTH x height units, stretched without their strokes. Colours and dashes are classes of the page's style.
Knows axes and points; no report.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streamrnn.pages.axes import Axis
from streamrnn.pages.markup import Markup, join, tag

WIDTH = 1000
"""Units across, to a tenth: finer than any screen is wide."""
MOST_POINTS = 2000
"""Of a line; of a longer one the least and the greatest of each stretch are drawn."""

Y = float | None


class Curve(NamedTuple):
    """Points in order; one without a y breaks the line, one alone is a dot."""

    style: str
    xs: Sequence[float]
    ys: Sequence[Y]


class Band(NamedTuple):
    """What lies between lows and highs."""

    style: str
    xs: Sequence[float]
    lows: Sequence[Y]
    highs: Sequence[Y]


class Dot(NamedTuple):
    """One point with a name to show when pointed at."""

    style: str
    x: float
    y: float
    title: str


class Guide(NamedTuple):
    """A line across the plot: at x (upright) or at y (level), with a word beside it."""

    x: float | None
    y: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """All that is in one picture. key: its name among the page's; title, description: for who cannot see it."""

    key: str
    title: str
    description: str
    x: Axis
    y: Axis
    lines: Sequence[Curve] = ()
    bands: Sequence[Band] = ()
    dots: Sequence[Dot] = ()
    marks: Sequence[Guide] = ()
    height: int = 220


def draw(plot: Plot) -> Markup:
    """The picture; as wide as what holds it."""
    left = room_left(plot)
    return tag(
        "svg",
        *contents(plot),
        class_="plot",
        role="img",
        aria_labelledby=f"{plot.key}-t {plot.key}-d",
        style=f"height:{plot.height}px;margin-left:{left}px;width:calc(100% - {left + 16}px)",
    )


def room_left(plot: Plot) -> int:
    """Pixels that the labels beside the plot take."""
    return 14 + 7 * max((len(tick.label) for tick in plot.y.ticks), default=0)


def contents(plot: Plot) -> Iterator[Markup]:
    """What stands in the picture's own svg, whatever its width."""
    yield from _words(plot.key, plot.title, plot.description)
    yield from _grid(plot)
    yield from _marks(plot)
    yield tag(
        "svg",
        *_bands(plot),
        *_lines(plot),
        viewBox=f"0 0 {WIDTH} {plot.height}",
        preserveAspectRatio="none",
        width="100%",
        height="100%",
    )
    yield from _dots(plot)


def key(style: str, kind: str = "line") -> Markup:
    """The sample of a line or band that stands in a legend."""
    if kind == "band":
        shape = tag("rect", width=22, height=12, class_=f"band {style}")
    else:
        shape = tag("path", d="M0,6H22", class_=f"line {style}")
    return tag("svg", shape, class_="key", aria_hidden="true")


def legend(entries: Sequence[tuple[Markup, Markup]]) -> Markup:
    """Samples and what they stand for."""
    return tag("ul", *(tag("li", sample, words) for sample, words in entries), class_="legend")


def thinned(xs: Sequence[float], ys: Sequence[Y], most: int = MOST_POINTS) -> Iterator[tuple[float, Y]]:
    """The points, at most about so many: of each stretch its least and its greatest, in order."""
    if len(xs) <= most:
        yield from zip(xs, ys, strict=True)
        return
    stretch = -(-2 * len(xs) // most)
    for start in range(0, len(xs), stretch):
        at = range(start, min(start + stretch, len(xs)))
        known = [(y, i) for i in at if (y := ys[i]) is not None]
        for i in sorted({min(known)[1], max(known)[1]}) if known else [start]:
            yield xs[i], ys[i]


def runs(plot: Plot, line: Curve) -> Iterator[list[str]]:
    """A line's unbroken stretches, each as "x,y" in units of the inner SVG, to a tenth."""
    run: list[str] = []
    for x, y in thinned(line.xs, [y if plot.y.has(y) else None for y in line.ys]):
        if y is not None:
            run.append(f"{_across(plot, x)},{_down(plot, y)}")
        elif run:
            yield run
            run = []
    if run:
        yield run


def _across(plot: Plot, x: float) -> str:
    return _tenth(WIDTH * plot.x.place(x))


def _down(plot: Plot, y: float) -> str:
    return _tenth(plot.height * (1 - plot.y.place(y)))


def _tenth(value: float) -> str:
    written = f"{value:.1f}"
    return written.removesuffix(".0")


def _percent(plot: Plot, x: float) -> str:
    return f"{100 * plot.x.place(x):.3f}%"


def _words(ident: str, title: str, description: str) -> Iterator[Markup]:
    yield tag("title", title, id=f"{ident}-t")
    yield tag("desc", description, id=f"{ident}-d")


def _lines(plot: Plot) -> Iterator[Markup]:
    """A point alone is the round cap of a line without length."""
    for line in plot.lines:
        found = list(runs(plot, line))
        if joined := "".join(f"M{'L'.join(run)}" for run in found if len(run) > 1):
            yield tag("path", d=joined, class_=f"line {line.style}")
        if alone := "".join(f"M{run[0]}h0" for run in found if len(run) == 1):
            yield tag("path", d=alone, class_=f"line {line.style} lone")


def _bands(plot: Plot) -> Iterator[Markup]:
    """Each unbroken stretch forth along the highs and back along the lows."""
    for band in plot.bands:
        shapes = [_around(plot, stretch) for stretch in _stretches(plot, band)]
        yield tag("path", d="".join(shapes), class_=f"band {band.style}")


def _stretches(plot: Plot, band: Band) -> Iterator[list[tuple[float, float, float]]]:
    stretch: list[tuple[float, float, float]] = []
    for x, low, high in zip(band.xs, band.lows, band.highs, strict=True):
        if low is not None and high is not None and plot.y.has(low) and plot.y.has(high):
            stretch.append((x, low, high))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _around(plot: Plot, stretch: Sequence[tuple[float, float, float]]) -> str:
    by = -(-len(stretch) // (MOST_POINTS // 2))
    parts = [stretch[at : at + by] for at in range(0, len(stretch), by)]
    forth = [f"{_across(plot, part[0][0])},{_down(plot, max(high for _, _, high in part))}" for part in parts]
    back = [f"{_across(plot, part[0][0])},{_down(plot, min(low for _, low, _ in part))}" for part in parts[::-1]]
    return f"M{'L'.join([*forth, *back])}Z"


def _dots(plot: Plot) -> Iterator[Markup]:
    for dot in plot.dots:
        if plot.x.has(dot.x) and plot.y.has(dot.y):
            place = {"cx": _percent(plot, dot.x), "cy": _down(plot, dot.y)}
            yield tag("circle", tag("title", dot.title), r=4, class_=f"dot {dot.style}", **place)


def _grid(plot: Plot) -> Iterator[Markup]:
    for tick in plot.y.ticks:
        y = _down(plot, tick.value)
        yield tag("line", x1=0, x2="100%", y1=y, y2=y, class_="grid")
        yield tag("text", tick.label, x=-8, y=y, dy="0.35em", class_="y")
    yield tag("line", x1=0, x2="100%", y1=plot.height, y2=plot.height, class_="axis")
    yield from x_ticks(plot.x, plot.height)


def x_ticks(axis: Axis, height: int) -> Iterator[Markup]:
    """Along the bottom; every other label makes room where the page is narrow."""
    for n, tick in enumerate(axis.ticks):
        x = f"{100 * axis.place(tick.value):.3f}%"
        yield tag("line", x1=x, x2=x, y1=height, y2=height + 5, class_="axis")
        yield tag("text", tick.label, x=x, y=height + 19, class_="x odd" if n % 2 else "x")


def _marks(plot: Plot) -> Iterator[Markup]:
    for mark in plot.marks:
        if mark.x is not None and plot.x.has(mark.x):
            x = _percent(plot, mark.x)
            end, dx = ("end", -6) if plot.x.place(mark.x) > 0.6 else ("start", 6)
            line = tag("line", x1=x, x2=x, y1=0, y2=plot.height, class_="mark")
            yield join([line, tag("text", mark.label, x=x, y=12, dx=dx, class_=f"note {end}")])
        if mark.y is not None and plot.y.has(mark.y):
            y = _down(plot, mark.y)
            line = tag("line", x1=0, x2="100%", y1=y, y2=y, class_="mark")
            dy = 14 if plot.y.place(mark.y) > 0.9 else -5
            yield join([line, tag("text", mark.label, x="100%", y=y, dy=dy, class_="note end")])

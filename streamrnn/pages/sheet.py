"""Plots side by side as one SVG file, of a fixed size and with a style of its own. Knows plots; no measurement.

What shows an SVG file as an image gives it no page: so it has its background, too.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streamrnn.pages.markup import Markup, join, tag
from streamrnn.pages.plots import Plot, contents, room_left
from streamrnn.pages.style import COLOURS, PLOTS

ACROSS = 2
PANEL_WIDTH, HEADING, FOOT, EDGE = 450, 58, 36, 16
"""Pixels: of a panel, above its plot, below, and around."""
KEY_WIDTH, LETTER = 28, 6.6
"""Pixels: of a key's sample with its gap, and of a letter, nearly."""
OWN = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
.page { fill: var(--page); }
.plot .heading { fill: var(--ink); font-size: 13px; font-weight: 600; }
"""


class Panel(NamedTuple):
    """A plot under its heading; keys: the style of each line and what it stands for."""

    plot: Plot
    keys: Sequence[tuple[str, str]] = ()


def sheet(title: str, panels: Sequence[Panel]) -> Markup:
    """The file; it loads nothing and runs nothing."""
    lines = [panels[at : at + ACROSS] for at in range(0, len(panels), ACROSS)]
    tops = [EDGE]
    for line in lines:
        tops.append(tops[-1] + max(_height(panel) for panel in line))
    width, height = EDGE + ACROSS * PANEL_WIDTH, tops[-1]
    return tag(
        "svg",
        tag("title", title),
        tag("style", Markup(COLOURS + PLOTS + OWN)),
        tag("rect", width=width, height=height, class_="page"),
        *(
            _placed(panel, EDGE + PANEL_WIDTH * column, top)
            for line, top in zip(lines, tops[:-1], strict=True)
            for column, panel in enumerate(line)
        ),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
    )


def _height(panel: Panel) -> int:
    return HEADING + panel.plot.height + FOOT


def _placed(panel: Panel, x: int, y: int) -> Markup:
    plot, left = panel.plot, room_left(panel.plot)
    drawn = tag(
        "svg",
        *contents(plot),
        x=left,
        y=HEADING,
        width=PANEL_WIDTH - left - 2 * EDGE,
        height=plot.height,
        overflow="visible",
        role="img",
        aria_labelledby=f"{plot.key}-t {plot.key}-d",
    )
    heading = tag("text", plot.title, x=left, y=16, class_="heading")
    return tag("g", heading, join(_keys(panel, left)), drawn, class_="plot", transform=f"translate({x} {y})")


def _keys(panel: Panel, x: float) -> Iterator[Markup]:
    """The samples and their words in a row."""
    for style, words in panel.keys:
        yield tag("path", d=f"M{x:.0f},34h22", class_=f"line {style}")
        yield tag("text", words, x=round(x + KEY_WIDTH), y=38)
        x += KEY_WIDTH + LETTER * len(words) + EDGE

"""Plots in a file of their own: the same lines as in a page, in panels that lie beside each other."""

import re
from xml.etree import ElementTree

from streamrnn.pages.axes import linear_axis
from streamrnn.pages.plots import Curve, Plot, draw
from streamrnn.pages.sheet import ACROSS, PANEL_WIDTH, Panel, sheet

SVG = "{http://www.w3.org/2000/svg}"


def plot(key: str, height: int = 100) -> Plot:
    ys = [3.0, 1.0, 2.0]
    return Plot(
        key,
        f"{key} & more",
        "what it shows",
        linear_axis([0, 2]),
        linear_axis(ys),
        [Curve("model", [0, 1, 2], ys)],
        height=height,
    )


def lines(markup: str) -> list[str]:
    return re.findall(r'd="(M[^"]*)" class="line model"', markup)


def test_a_panel_has_the_lines_that_a_page_has() -> None:
    assert lines(sheet("some", [Panel(plot("a"))])) == lines(draw(plot("a")))


def test_panels_lie_beside_and_below_each_other_within_the_file() -> None:
    heights = (100, 150, 120)
    root = ElementTree.fromstring(
        sheet("some", [Panel(plot(f"p{n}", h), [("model", "its key")]) for n, h in enumerate(heights)])
    )
    placed = [re.findall(r"\d+", group.get("transform", "")) for group in root.iter(f"{SVG}g")]
    (x0, y0), (x1, y1), (x2, y2) = [(int(x), int(y)) for x, y in placed]
    assert (x1 - x0, y1, x2) == (PANEL_WIDTH, y0, x0)
    assert y2 - y0 > max(heights[:ACROSS])
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    assert root.get("viewBox") == f"0 0 {width} {height}"
    assert (width >= x1 + PANEL_WIDTH, height > y2 + heights[2]) == (True, True)


def test_text_is_escaped_and_keys_are_named() -> None:
    root = ElementTree.fromstring(sheet("a < b", [Panel(plot("p"), [("ridge", "up & down")])]))
    said = [element.text for element in root.iter(f"{SVG}text")]
    assert {"p & more", "up & down"} <= set(said)

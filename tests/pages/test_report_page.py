"""The report page: what it says against plain computations, what it must never hold, and where its points lie."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.pages.axes import Axis, count_axis, linear_axis, log_axis, time_axis
from streamrnn.pages.formats import aligned, change, duration, significant, spans, trimmed, when
from streamrnn.pages.markup import BROKEN, named, tag
from streamrnn.pages.plots import WIDTH, Band, Curve, Plot, draw, thinned
from streamrnn.pages.report import render
from streamrnn.train.fit import Epoch, Recipe
from streamrnn.train.retrain_report import Grid, RetrainReport, Sample, Score, SplitPart, Verdict

T0 = 1_467_331_200_000
"""2016-07-01 00:00:00 UTC in ms."""
HOUR = 3_600_000
VOID = {"meta", "wbr"}
finite = st.floats(-1e12, 1e12)


def score(name: str, kind: str, size: float, horizons: int, targets: int, coverage: bool = False) -> Score:
    def grid(factor: float) -> Grid:
        return [[factor * size * (1 + k + 0.37 * o) for o in range(targets)] for k in range(horizons)]

    levels = [0.07, 0.52, 0.88] if coverage else None
    mse, mae, std_mse, std_mae = map(grid, (31, 5, 1, 0.7))
    return Score(name=name, kind=kind, mse=mse, mae=mae, std_mse=std_mse, std_mae=std_mae, coverage=levels)


def sample(ticks: int, **changes: Any) -> Sample:
    curve = [math.sin(t / 9) for t in range(ticks)]
    plain = Sample(
        stream="pump-7",
        target="t0",
        horizon=1,
        time_ms=[T0 + HOUR * t for t in range(ticks)],
        actual=list(curve),
        predicted=[y + 0.1 for y in curve],
    )
    return msgspec.structs.replace(plain, **changes)


def report(
    horizons: int = 1, targets: int = 2, passes: int = 5, quantiles: bool = False, **changes: Any
) -> RetrainReport:
    names = tuple(f"t{o}" for o in range(targets))
    spec = ModelSpec(
        name="oil",
        version=7,
        features=names,
        targets=names,
        channels=(Channel("t0"),),
        horizons=tuple(range(1, horizons + 1)),
        quantiles=(0.1, 0.5, 0.9) if quantiles else (),
    )
    kinds = {"oil@7": "model", "oil@6": "champion", "as is": "persistence", "day ago": "seasonal", "AR": "ridge"}
    sizes = zip(kinds.items(), (0.0123, 0.0131, 0.0206, 0.0452, 0.0117), strict=True)
    plain = RetrainReport(
        spec=spec, created_ms=T0, source="ticks.csv",
        parts=[SplitPart(name="train", ticks=1234, streams=3, from_ms=T0, until_ms=T0 + 99 * HOUR)],
        dead_letters={"no time": 17}, recipe=Recipe(epochs=30, learning_rate=0.004),
        epochs=[Epoch(n, 1 / n, 1.5 / n, 0.3 * n, 0.9 * n, 0.004 / n, 0.2) for n in range(1, passes + 1)],
        best_epoch=passes, truths=[[500] * targets] * horizons, scale=[2.5] * targets,
        scores=[score(n, k, size, horizons, targets, quantiles and k == "model") for (n, k), size in sizes],
        samples=[sample(50)], seconds=83.0, versions={"torch": "2.13"},
        verdict=Verdict(promoted=True, policy="if-better", reason="It errs less.", margin=0.02, champion="oil@6"),
    )  # fmt: skip
    return msgspec.structs.replace(plain, **changes)


def parsed(page: str) -> Element:
    """The page by an XML parser; its HTML is checked to nest the same way by `Nesting`."""
    Nesting().feed(page)
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


class Nesting(HTMLParser):
    """Fails at an end tag that does not end the last open element."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag


def words(element: Element) -> str:
    return "".join(element.itertext())


def table(page: Element, caption: str) -> list[list[str]]:
    """Rows of the table with that caption, head first."""
    found = next(t for t in page.iter("table") if words(t[0]) == caption)
    assert all(cell.get("scope") for cell in found.iter("th"))
    return [[words(cell) for cell in row] for row in found.iter("tr")]


def paths(drawn: Element, kind: str) -> list[list[tuple[float, float]]]:
    """The points of each path of a kind, in units of the inner picture."""
    numbers = [
        re.findall(r"(-?[\d.]+),(-?[\d.]+)", p.get("d", ""))
        for p in drawn.iter("path")
        if kind in p.get("class", "").split()
    ]
    return [[(float(x), float(y)) for x, y in points] for points in numbers]


SHAPES = {
    "one horizon": report(),
    "one target, one epoch": report(targets=1, passes=1),
    "quantiles": report(horizons=3, quantiles=True, samples=[sample(9, low=[-1.0] * 9, high=[None] + [2.0] * 8)]),
    "many": report(horizons=96, targets=20),
    "no champion": report(verdict=Verdict(promoted=False, policy="never", reason="", margin=0.0)),
    "nothing": report(scores=[], epochs=[], samples=[], parts=[], dead_letters={}, truths=[], versions={}),
    "holes": report(samples=[sample(4, actual=[None, math.nan, 1.0, None], predicted=[None] * 4), sample(0)]),
    "a single tick": report(samples=[sample(1)]),
    "no calendar": report(samples=[sample(2, time_ms=[-(2**62), 2**62])], created_ms=2**60),
    "not finite": report(2, scores=[score("a", "m", math.nan, 2, 2), score("b", "persistence", math.inf, 2, 2)]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_report_is_sound_html_and_xml(name: str) -> None:
    page = render(SHAPES[name])
    tree = parsed(page)
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    for picture in tree.iter("svg"):
        if picture.get("role") == "img":
            assert (picture[0].tag, picture[1].tag) == ("title", "desc")
            assert picture.get("aria-labelledby") == f"{picture[0].get('id')} {picture[1].get('id')}"
            assert words(picture[0])
            assert words(picture[1])
    for link in tree.iter("a"):
        assert link.get("href", "")[1:] in ids
    assert not re.search(r"\b(None|nan|inf)\b", "".join(words(e) for e in tree.iter("td")))


@pytest.mark.parametrize("name", SHAPES)
def test_the_page_asks_for_nothing_outside_it(name: str) -> None:
    page = render(SHAPES[name])
    for outside in ("http:", "https:", "//", "src=", "url(", "@import", "<script", "<link", "<img", "javascript:"):
        assert outside not in page.lower()
    policies = [meta.get("content", "") for meta in parsed(page).iter("meta") if meta.get("http-equiv")]
    assert [policy.split("; ")[:2] for policy in policies] == [["default-src 'none'", "style-src 'unsafe-inline'"]]


def test_every_score_is_there_and_the_best_is_bold() -> None:
    given = report(horizons=3, targets=2)
    page = parsed(render(given))
    overall = table(page, "Overall")
    assert overall[0][1::2] == ["Standardised MSE", "Standardised MAE"]
    for row, s in zip(overall[1:], given.scores, strict=True):
        assert row[0].startswith(s.name)
        assert float(row[1]) == pytest.approx(s.overall, rel=1e-3)
        assert float(row[2]) == pytest.approx(s.overall / given.scores[2].overall, abs=1e-3)
    grids = {"Standardised MSE": "std_mse", "Standardised MAE": "std_mae"}
    for title, attribute in grids.items():
        rows = [row[1:] for row in table(page, f"{title} by horizon")[1:]]
        wanted = [[sum(getattr(s, attribute)[k]) / 2 for s in given.scores] for k in range(3)]
        assert [[float(cell) for cell in row] for row in rows] == [pytest.approx(row, rel=1e-3) for row in wanted]
    raw = {"MSE in the square of the target\u2019s unit": "mse", "MAE in the target\u2019s unit": "mae"}
    for title, attribute in (grids | raw).items():
        rows = [row[1:6] for row in table(page, f"{title} by target")[1:]]
        wanted = [[sum(getattr(s, attribute)[k][o] for k in range(3)) / 3 for s in given.scores] for o in range(2)]
        assert [[float(cell) for cell in row] for row in rows] == [pytest.approx(row, rel=6e-3) for row in wanted]
    bold = [words(cell) for row in page.iter("tr") for cell in row if cell.find("strong") is not None]
    assert len(bold) == 2 + 2 * 3 + 4 * 2
    assert overall[5][1] in bold


def test_the_head_says_what_became_of_the_model_and_why() -> None:
    page = parsed(render(report()))
    assert words(next(page.iter("h1"))) == "oil@7 is the new champion"
    said = words(next(page.iter("header")))
    assert "It errs less." in said
    assert "\u22126.1\u00a0%" in said  # .0123 against the champion's .0131
    refused = parsed(render(SHAPES["no champion"]))
    assert words(next(refused.iter("h1"))) == "oil@7 was not promoted"
    assert "no champion so far" in words(refused)


def test_coverage_facts_and_options_are_written_out() -> None:
    page = parsed(render(SHAPES["quantiles"]))
    coverage = table(page, "Truths below each quantile")
    assert [row[1].replace("\u00a0", "") for row in coverage[1:]] == ["7.0%", "52.0%", "88.0%", "81.0%"]
    assert table(page, "Parts")[1][:4] == ["train", "1,234", "100.0\u00a0%", "3"]
    assert table(page, "Records refused, by reason")[1][:2] == ["no time", "17"]
    options = {words(pair[0]): words(pair[1]) for pair in page.iter("div") if pair.find("dt") is not None}
    for name in (*Recipe.__dataclass_fields__, *ModelSpec.__struct_fields__):
        assert name.replace("_", " ") in options
    assert options["learning rate"] == "0.004 default 0.003"
    assert options["dropout"] == "0"
    held = report(usual=Recipe(learning_rate=0.004, dropout=0.5))
    shown = {words(p[0]): words(p[1]) for p in parsed(render(held)).iter("div") if p.find("dt") is not None}
    assert (shown["learning rate"], shown["dropout"]) == ("0.004", "0 default 0.5")
    assert options["budget s"] == "\u2013"
    assert "2.13" in options["torch"]


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=40), st.sampled_from(["", "<script>", "\"'><svg onload=x>"]))
def test_any_name_is_shown_and_never_read_as_markup(text: str, more: str) -> None:
    name = text + more
    plain = report()
    feature = BROKEN.sub("\ufffd", name) + "!"  # a spec comes from JSON, which holds nothing broken
    spec = msgspec.structs.replace(plain.spec, features=("t0", feature), targets=("t0", feature))
    hostile = report(
        spec=spec,
        source=name,
        versions={name: name},
        dead_letters={name: 2},
        samples=[sample(3, stream=name)],
        scores=[msgspec.structs.replace(s, name=name, kind=name) for s in plain.scores],
        verdict=msgspec.structs.replace(plain.verdict, reason=name, champion=name, policy=name),
    )
    tree, tame = parsed(render(hostile)), parsed(render(plain))
    assert {e.tag for e in tree.iter()} <= {e.tag for e in tame.iter()}
    assert words(tree.find(".//header/p[@class='lead']/span")) == BROKEN.sub("\ufffd", name)  # type: ignore[arg-type]
    render(hostile).encode()


def test_a_long_name_is_cut_in_the_middle_and_kept_whole_in_its_title() -> None:
    name = named("abc" + "x" * 500 + "xyz")
    shown = ElementTree.fromstring(name)
    assert len(words(shown)) == 64
    assert words(shown).startswith("abc")
    assert words(shown).endswith("xyz")
    assert len(shown.get("title", "")) == 506
    assert tag("p", "<", tag("b", "&"), class_='"') == '<p class="&quot;">&lt;<b>&amp;</b></p>'


@given(st.lists(st.tuples(finite, finite | st.none()), min_size=2, max_size=60))
def test_the_points_of_a_line_map_back_to_the_data(points: list[tuple[float, float | None]]) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    plot = Plot("p", "t", "d", linear_axis(xs), linear_axis(ys), [Curve("model", xs, ys)])
    drawn = [point for path in paths(ElementTree.fromstring(draw(plot)), "model") for point in path]
    (left, right), (low, high) = (plot.x.low, plot.x.high), (plot.y.low, plot.y.high)
    back = [(left + (right - left) * x / WIDTH, high - (high - low) * y / plot.height) for x, y in drawn]
    known = [(x, y) for x, y in points if y is not None]
    assert len(back) == len(known)
    for some, others in ((back, known), (known, back)):
        for x, y in some:
            off = min(max(WIDTH * abs(x - a) / (right - left), 220 * abs(y - b) / (high - low)) for a, b in others)
            assert off < 0.06, "a twentieth of a pixel"


def test_a_hole_breaks_the_line_and_a_lone_point_is_a_dot() -> None:
    ys = [1.0, 2.0, None, 3.0, math.nan, 4.0, 5.0]
    plot = Plot("p", "t", "d", linear_axis([0, 6]), linear_axis(ys), [Curve("model", range(7), ys)],
                [Band("model", range(7), ys, ys)])  # fmt: skip
    drawn = ElementTree.fromstring(draw(plot))
    joined, alone = [p.get("d", "") for p in drawn.iter("path") if "line" in p.get("class", "")]
    assert (joined.count("M"), joined.count("L"), alone.count("h0")) == (2, 2, 1)
    assert len(paths(drawn, "band")[0]) == 2 * 5


def test_a_long_line_keeps_its_extremes_within_bounds() -> None:
    ys = [math.sin(t / 1000) for t in range(200_000)]
    ys[77_777], ys[150_001] = 9.0, -9.0
    kept = list(thinned(range(len(ys)), ys, 2000))
    assert len(kept) <= 2000
    assert {(77_777, 9.0), (150_001, -9.0)} <= set(kept)
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert list(thinned([1, 2], [None, 3.0])) == [(1, None), (2, 3.0)]


def is_round(step: float) -> bool:
    return f"{step:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")


def covers(axis: Axis, values: list[float]) -> bool:
    inside = all(axis.has(value) and 0 <= axis.place(value) <= 1 for value in values)
    return inside and axis.ticks[0].value == axis.low and axis.ticks[-1].value == axis.high


@given(st.lists(finite, min_size=1, max_size=9))
def test_linear_ticks_are_round_and_cover_the_data(values: list[float]) -> None:
    axis = linear_axis([*values, None, math.nan, math.inf])
    assert covers(axis, values)
    assert 2 <= len(axis.ticks) <= 9
    assert len({tick.label for tick in axis.ticks}) == len(axis.ticks)
    if max(values) - min(values) > 1e-6 * max(map(abs, values)) + 1e-90:
        assert is_round(axis.ticks[1].value - axis.ticks[0].value)


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=9))
def test_log_ticks_are_round_and_cover_the_data(values: list[float]) -> None:
    axis = log_axis([*values, 0.0, -1.0, None])
    assert covers(axis, values)
    assert 2 <= len(axis.ticks) <= 14
    assert all(is_round(tick.value) for tick in axis.ticks)
    assert not axis.has(0.0)
    assert axis.place(math.sqrt(axis.low * axis.high)) == pytest.approx(0.5)


def marks(low: int, high: int) -> Iterator[datetime]:
    for tick in time_axis([high, low]).ticks:
        assert low <= tick.value <= high
        yield datetime.fromtimestamp(tick.value / 1000, UTC)


@given(st.integers(-(10**12), 4 * 10**12), st.integers(1, 10**12))
def test_times_are_marked_at_full_units_evenly(low: int, span: int) -> None:
    ticks = list(marks(low, low + span))
    assert len(ticks) <= 10
    gaps = [(b - a).total_seconds() for a, b in pairwise(ticks)]
    assert not gaps or max(gaps) <= 1.13 * min(gaps)
    if span >= 8 * 86_400_000:
        assert all((t.hour, t.minute, t.second, t.microsecond) == (0, 0, 0, 0) for t in ticks)
        assert ticks
    if span >= 8 * 14 * 86_400_000:
        assert all(t.day == 1 for t in ticks)


def test_times_are_labelled_by_the_clock_and_the_calendar() -> None:
    labels = [
        [tick.label.replace("\u00a0", " ") for tick in time_axis([T0, T0 + span]).ticks]
        for span in (3, 20_000, 30 * HOUR, 6 * 24 * HOUR, 300 * 24 * HOUR, 4000 * 24 * HOUR)
    ]
    assert labels[0] == ["1 Jul", "00:00:00.001", "00:00:00.002", "00:00:00.003"]
    assert labels[1] == ["1 Jul", "00:00:05", "00:00:10", "00:00:15", "00:00:20"]
    assert labels[2] == ["1 Jul", "06:00", "12:00", "18:00", "2 Jul", "06:00"]
    assert labels[3] == [f"{day} Jul" for day in range(1, 8)]
    assert labels[4] == ["Jul 2016", "Sep 2016", "Nov 2016", "Jan 2017", "Mar 2017"]
    assert labels[5] == ["2018", "2020", "2022", "2024", "2026"]


def test_epochs_and_horizons_are_marked_at_whole_numbers() -> None:
    assert [tick.label for tick in count_axis([1]).ticks] == ["1"]
    assert count_axis([1]).place(1) == 0.5
    assert [tick.value for tick in count_axis(range(1, 97)).ticks] == [1, 20, 40, 60, 80]
    assert all(float(tick.value).is_integer() for tick in count_axis([3, 2000]).ticks)


def test_numbers_have_the_digits_that_count() -> None:
    assert [significant(v) for v in (0.0123456, 1234.56, -2, 0, None, math.nan, math.inf, 1.5e-7, 3.21e9)] == [
        "0.01235", "1,235", "\u22122.000", "0.000", "\u2013", "NaN", "\u221e",
        "1.500\u00d710\u207b\u2077", "3.210\u00d710\u2079",
    ]  # fmt: skip
    assert aligned([0.01234, 1.5, None]) == ["0.01234", "1.50000", "\u2013"]
    assert aligned([1e-9, 1.5]) == ["1.000\u00d710\u207b\u2079", "1.500"]
    assert [change(1, 2), change(3, 2), change(50, 2), change(1, 0), change(None, 1), change(1, 1)] == [
        "\u221250.0\u00a0%",
        "+50.0\u00a0%",
        "25.0\u00d7",
        "\u2013",
        "\u2013",
        "0.0\u00a0%",
    ]
    assert [trimmed(v) for v in (0.003, 100, 1e-8, math.inf)] == ["0.003", "100", "1e\u221208", "\u221e"]
    assert spans((1, 2, 3, 4, 8, 9, 24)) == "1\u20134, 8, 9, 24"
    assert [duration(s).replace("\u00a0", " ") for s in (0.25, 12.34, 83, 7800)] == [
        "250 ms",
        "12.3 s",
        "1 min 23 s",
        "2 h 10 min",
    ]
    assert when(T0).replace("\u00a0", " ") == "1 Jul 2016 00:00"
    assert when(2**62) == "4,611,686,018,427,387,904\u00a0ms"


def test_a_clip_that_is_never_reached_and_one_that_is_none_are_both_drawn() -> None:
    for clip, is_drawn in ((1.0, True), (math.inf, False)):
        page = render(report(recipe=replace(Recipe(), clip=clip)))
        assert ("clipped at 1.0" in page) == is_drawn


def test_the_largest_page_stays_small() -> None:
    band = {"low": [0.1234567 * t for t in range(2000)], "high": [0.2345678 * t for t in range(2000)]}
    largest = report(horizons=96, targets=7, passes=100, quantiles=True, samples=[sample(2000, **band)] * 14)
    assert len(render(largest).encode()) < 1_500_000

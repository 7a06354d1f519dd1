"""The sections of plain facts: the data, the recipe, the model's spec, versions."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from streamrnn.nn.spec import ModelSpec
from streamrnn.pages.axes import time_axis
from streamrnn.pages.formats import NOTHING, between, share, spans, trimmed, when
from streamrnn.pages.markup import Markup, join, named, table, tag
from streamrnn.pages.plots import x_ticks
from streamrnn.train.fit import Recipe
from streamrnn.train.retrain_report import RetrainReport, SplitPart

MOST_NAMES = 200


def data(report: RetrainReport) -> Markup:
    """Where the ticks came from, how they were parted, and what was refused."""
    ticks = sum(part.ticks for part in report.parts)
    rows = [
        [named(part.name), f"{part.ticks:,}", share(part.ticks, ticks), f"{part.streams:,}", *_extent(part)]
        for part in report.parts
    ]
    head = ["Part", "Ticks", "Share", "Streams", "From (UTC)", "Until (UTC)"]
    parts = [tag("p", "From ", tag("code", named(report.source, 300)), ".", class_="soft")]
    parts += [table("Parts", head, rows), _timeline(report.parts)] if rows else []
    return join([*parts, tag("h3", "Dead letters"), _dead_letters(report, ticks)])


def _extent(part: SplitPart) -> tuple[str, str]:
    return (when(part.from_ms), when(part.until_ms)) if part.ticks else ("\u2013", "\u2013")


def _timeline(parts: Sequence[SplitPart]) -> Markup:
    """One bar for each part on a common axis of event time; they may overlap."""
    held = [part for part in parts if part.ticks]
    if not held:
        return Markup("")
    axis = time_axis([time_ms for part in held for time_ms in (part.from_ms, part.until_ms)])
    shapes = [shape for n, part in enumerate(held) for shape in _bar(part, n, axis.place)]
    height = 22 * len(held)
    spoken = "; ".join(f"{part.name}: {between(part.from_ms, part.until_ms)}" for part in held)
    words = [tag("title", "Parts in event time", id="parts-t"), tag("desc", spoken, id="parts-d")]
    baseline = tag("line", x1=0, x2="100%", y1=height, y2=height, class_="axis")
    return tag(
        "figure",
        tag(
            "svg",
            *words,
            *shapes,
            baseline,
            *x_ticks(axis, height),
            class_="plot timeline",
            role="img",
            aria_labelledby="parts-t parts-d",
            style=f"height:{height}px",
        ),
    )


def _bar(part: SplitPart, row: int, place: Callable[[float], float]) -> Iterator[Markup]:
    begin, end = place(part.from_ms), place(part.until_ms)
    y = 22 * row + 4
    yield tag("text", part.name[:12], x=-10, y=y + 7, dy="0.35em", class_="y")
    yield tag(
        "rect",
        x=f"{100 * begin:.2f}%",
        width=f"{max(0.2, 100 * (end - begin)):.2f}%",
        y=y,
        height=14,
        rx=2,
        class_=f"part part{row % 3}",
    )


def _dead_letters(report: RetrainReport, ticks: int) -> Markup:
    if not report.dead_letters:
        return tag("p", "None: no record was refused.", class_="soft")
    whole = ticks + sum(report.dead_letters.values())
    ordered = sorted(report.dead_letters.items(), key=lambda pair: -pair[1])
    rows = [[named(reason), f"{count:,}", share(count, whole)] for reason, count in ordered]
    return table("Records refused, by reason", ["Reason", "Records", "Share of all"], rows)


def model(report: RetrainReport) -> Markup:
    """The spec in full, in words and as JSON."""
    raw = msgspec.json.format(msgspec.json.encode(report.spec), indent=2).decode()
    as_json = tag("details", tag("summary", "As JSON"), tag("pre", raw, tabindex=0))
    return join([_list(_spec(report.spec)), as_json])


def _spec(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Every field, in the spec's order."""
    for field in spec.__struct_fields__:
        value = getattr(spec, field)
        if field == "horizons":
            words = f"{spans(value)} {'tick' if value == (1,) else 'ticks'} ahead"
        elif field == "channels":
            words = _names([f"{channel.feature} ({channel.kind})" for channel in value])
        elif field == "ranges" and value is not None:
            words = _names([_range(*item) for item in zip(spec.features, value, strict=True)])
        elif isinstance(value, tuple):
            words = _names([item if isinstance(item, str) else trimmed(item) for item in value])
        else:
            words = named(value, 220) if isinstance(value, str) else _setting(value)
        yield field.replace("_", " "), words


def _range(feature: str, bounds: tuple[float, float] | None) -> str:
    return f"{feature} {NOTHING if bounds is None else f'{trimmed(bounds[0])} to {trimmed(bounds[1])}'}"


def _names(names: Sequence[str]) -> str:
    """All of them up to a bound, each kept in its own direction."""
    shown = join([named(name) for name in names[:MOST_NAMES]], ", ")
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return join([shown, more], "") if names else "none"


def recipe(report: RetrainReport) -> Markup:
    """Every option of the fit; those that are not the default say what it is."""
    return _list(_options(report.recipe, report.usual))


def _options(chosen: Recipe, usual: Recipe) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(Recipe):
        value, default = getattr(chosen, field.name), getattr(usual, field.name)
        words = _setting(value)
        if value != default:
            words = join([tag("b", words), tag("small", f" default {_setting(default)}")], "")
        yield field.name.replace("_", " "), words


def _setting(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else trimmed(value)


def versions(report: RetrainReport) -> Markup:
    """What it was made with."""
    return _list((name, named(version)) for name, version in report.versions.items())


def _list(pairs: Iterable[tuple[str, str]]) -> Markup:
    rows = [tag("div", tag("dt", named(name)), tag("dd", value)) for name, value in pairs]
    return tag("dl", join(rows))

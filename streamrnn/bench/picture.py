"""What of the bench's results is drawn, and how it is called. Knows results and plots; measures nothing."""

from collections.abc import Iterator, Sequence

from streamrnn.bench.job import ScaleRow
from streamrnn.bench.rounds import Results
from streamrnn.bench.tables import middle
from streamrnn.pages.axes import Axis, Tick, linear_axis, log_axis
from streamrnn.pages.markup import Markup
from streamrnn.pages.plots import Curve, Dot, Plot
from streamrnn.pages.sheet import Panel, sheet

STYLES = ("model", "champion", "ridge", "other1")
HEIGHT = 180


def picture(results: Results) -> Markup:
    """Costs by streams and by partitions, as an SVG file."""
    return sheet("streamrnn bench", [*_by_streams(results), *_by_partitions(results)])


def _by_streams(results: Results) -> Iterator[Panel]:
    if not results.scale:
        return
    yield _costs(results)
    yield _growing(next(reversed(results.scale.values())))
    if results.written:
        yield _snapshots(results)


def _costs(results: Results) -> Panel:
    """The processor's time of a tick, by the streams that are held."""
    sizes, batches = list(results.scale), [cost.batch for cost in next(iter(results.scale.values()))[0].costs]
    curves = [
        Curve(style, sizes, [middle([row.costs[at] for row in rows], "cpu_us") for rows in results.scale.values()])
        for at, style in zip(range(len(batches)), STYLES, strict=False)
    ]
    title = "A tick in random order, engine alone: \u00b5s of CPU by streams"
    keys = [(curve.style, f"{batch:,} ticks a step") for curve, batch in zip(curves, batches, strict=False)]
    return Panel(_plot("cost", title, _numbers(sizes), curves), keys)


def _growing(rows: Sequence[ScaleRow]) -> Panel:
    """The longest step of each stretch of a growth; of several rounds, the first."""
    growth = rows[0].growth
    at = [streams for streams, _, _ in growth.longest]
    curves = [
        Curve("model", at, [cpu_ms for _, _, cpu_ms in growth.longest]),
        Curve("persistence", [at[0], at[-1]], [growth.cpu.mean_ms] * 2),
    ]
    title = f"Growing to {at[-1]:,} streams by 1,024: ms of CPU a step"
    axis = linear_axis([0, at[-1]], most=4)
    axis = Axis(axis.low, axis.high, tuple(Tick(tick.value, f"{tick.value:,.0f}") for tick in axis.ticks))
    return Panel(_plot("grow", title, axis, curves), [("model", "longest of a stretch"), ("persistence", "mean")])


def _snapshots(results: Results) -> Panel:
    sizes = list(results.written)
    curves = [
        Curve("model", sizes, [middle(rows, "full_s") for rows in results.written.values()]),
        Curve("champion", sizes, [middle(rows, "restore_s") for rows in results.restored.values()]),
    ]
    held = [y for curve in curves for y in curve.ys]
    plot = _plot("kept", "A snapshot of all streams: seconds by streams", _numbers(sizes), curves, log_axis(held))
    return Panel(plot, [("model", "written"), ("champion", "restored by a new process")])


def _by_partitions(results: Results) -> Iterator[Panel]:
    if not results.partitions:
        return
    counts = list(results.partitions)
    curve = Curve("model", counts, [middle(runs, "cpu_us_per_tick") for runs in results.partitions.values()])
    yield Panel(
        _plot("parts", "The service on a backlog: \u00b5s of CPU a tick by partitions", _numbers(counts), [curve])
    )


def _plot(key: str, title: str, x: Axis, curves: Sequence[Curve], y: Axis | None = None) -> Plot:
    """From 0 on unless there is an axis `y`. What was measured at a few numbers is dots, too."""
    values = [value for curve in curves for value in curve.ys]
    dots = [
        Dot(curve.style, at, value, f"{at:,}: {value:.3g}")
        for curve in curves
        if x.is_log
        for at, value in zip(curve.xs, curve.ys, strict=True)
        if value is not None
    ]
    axis = linear_axis([0, *values], most=4) if y is None else y
    return Plot(key, title, title, x, axis, curves, dots=dots, height=HEIGHT)


def _numbers(values: Sequence[int]) -> Axis:
    """Logarithmic from the first to the last, around a single one, each with its number."""
    edge = 1.0 if values[0] < values[-1] else 2.0
    ticks = tuple(Tick(value, f"{value:,}") for value in values)
    return Axis(values[0] / edge, values[-1] * edge, ticks, is_log=True)

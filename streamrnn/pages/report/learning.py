"""The sections on how the model came about: the epochs, and its predictions beside what came."""

import math
from collections.abc import Sequence

from streamrnn.pages.axes import count_axis, drawable, linear_axis, log_axis, time_axis, value_axis
from streamrnn.pages.formats import aligned, between, duration, significant
from streamrnn.pages.markup import Markup, isolated, join, named, table, tag
from streamrnn.pages.plots import Band, Curve, Dot, Guide, Plot, draw, key, legend
from streamrnn.train.fit import Epoch
from streamrnn.train.retrain_report import RetrainReport, Sample

MOST_SAMPLES = 24


def training(report: RetrainReport) -> Markup:
    """Losses, gradient norms and learning rate by epoch; every number below."""
    epochs = report.epochs
    if not epochs:
        return tag("p", "No epoch was run.", class_="soft")
    took = sum(epoch.seconds for epoch in epochs)
    words = f"{len(epochs)} of at most {report.recipe.epochs} epochs in {duration(took)}"
    best = next((epoch for epoch in epochs if epoch.number == report.best_epoch), None)
    if best:
        loss = significant(best.validation_loss)
        words += f"; the weights are those of epoch {best.number}, validation loss {loss}"
    plots = [_losses(report, best), _norms(report), _rates(epochs)]
    folded = tag("details", tag("summary", "Every epoch"), _epoch_table(epochs))
    return join([tag("p", f"{words}.", class_="soft"), tag("div", *plots, class_="plots three"), folded])


def _numbers(epochs: Sequence[Epoch]) -> list[int]:
    return [epoch.number for epoch in epochs]


def _losses(report: RetrainReport, best: Epoch | None) -> Markup:
    epochs = report.epochs
    learnt, checked = [epoch.train_loss for epoch in epochs], [epoch.validation_loss for epoch in epochs]
    at = f"; least at epoch {best.number}, {significant(best.validation_loss)}" if best else ""
    plot = Plot(
        key="loss",
        title="Loss by epoch",
        description=f"Training {_course(learnt)}; validation {_course(checked)}{at}.",
        x=count_axis(_numbers(epochs)),
        y=value_axis([*learnt, *checked]),
        lines=[Curve("learnt", _numbers(epochs), learnt), Curve("checked", _numbers(epochs), checked)],
        dots=[Dot("checked", best.number, best.validation_loss, f"epoch {best.number}")] if best else [],
        marks=[Guide(best.number, None, f"best: {best.number}")] if best else [],
    )
    caption = _caption(f"Loss ({report.recipe.loss})", plot)
    keys = [(key("learnt"), Markup("training")), (key("checked"), Markup("validation"))]
    return tag("figure", caption, legend(keys), draw(plot))


def _norms(report: RetrainReport) -> Markup:
    epochs, clip = report.epochs, report.recipe.clip
    means, most = [epoch.gradient_norm for epoch in epochs], [epoch.largest_gradient_norm for epoch in epochs]
    clips = math.isfinite(clip) and clip > 0
    plot = Plot(
        key="gradient",
        title="Gradient norm by epoch, before clipping",
        description=f"Mean {_course(means)}; largest {_course(most)}; clipped at {significant(clip)}.",
        x=count_axis(_numbers(epochs)),
        y=log_axis([*means, *most, *([clip] if clips else [])]),
        lines=[Curve("learnt", _numbers(epochs), means), Curve("most", _numbers(epochs), most)],
        marks=[Guide(None, clip, f"clipped at {significant(clip, 2)}")] if clips else [],
    )
    keys = legend([(key("learnt"), Markup("mean")), (key("most"), Markup("largest"))])
    return tag("figure", _caption("Gradient norm before clipping", plot), keys, draw(plot))


def _rates(epochs: Sequence[Epoch]) -> Markup:
    rates = [epoch.learning_rate for epoch in epochs]
    plot = Plot(
        key="rate",
        title="Learning rate by epoch",
        description=f"Learning rate {_course(rates)}, at most {significant(max(rates), 3)}.",
        x=count_axis(_numbers(epochs)),
        y=linear_axis([0.0, *rates]),
        lines=[Curve("learnt", _numbers(epochs), rates)],
    )
    keys = legend([(key("learnt"), Markup("of the epoch"))])
    return tag("figure", _caption("Learning rate", plot), keys, draw(plot))


def _caption(title: str, plot: Plot) -> Markup:
    scale = "log axis, " if plot.y.is_log else ""
    return tag("figcaption", tag("b", title), tag("span", f"{scale}by epoch"))


def _course(values: Sequence[float]) -> str:
    return f"from {significant(values[0])} to {significant(values[-1])}"


def _epoch_table(epochs: Sequence[Epoch]) -> Markup:
    head = ["Epoch", "Training loss", "Validation loss", "Gradient norm", "Largest norm", "Learning rate", "Time"]
    columns = [
        [f"{epoch.number}" for epoch in epochs],
        aligned([epoch.train_loss for epoch in epochs]),
        aligned([epoch.validation_loss for epoch in epochs]),
        aligned([epoch.gradient_norm for epoch in epochs], 3),
        aligned([epoch.largest_gradient_norm for epoch in epochs], 3),
        aligned([epoch.learning_rate for epoch in epochs], 3),
        [duration(epoch.seconds) for epoch in epochs],
    ]
    return table("Every epoch", head, zip(*columns, strict=True))


def samples(report: RetrainReport) -> Markup:
    """What came and what had been predicted for that time, on the axis of event time."""
    if not report.samples:
        return tag("p", "No samples were kept.", class_="soft")
    keys = [(key("actual"), Markup("what came")), (key("model"), Markup("what was predicted"))]
    if any(sample.low for sample in report.samples):
        levels = report.spec.quantiles
        band = f"between quantiles {levels[0]:g} and {levels[-1]:g}" if levels else "between the outer quantiles"
        keys.append((key("model", "band"), Markup(band)))
    figures = [_sample(sample, n) for n, sample in enumerate(report.samples[:MOST_SAMPLES])]
    left = len(report.samples) - len(figures)
    more = tag("p", f"{left:,} more are in report.json.", class_="soft") if left else Markup("")
    return join([legend(keys), tag("div", *figures, class_="plots"), more])


def _sample(sample: Sample, number: int) -> Markup:
    ahead = f"{sample.horizon:,} {'tick' if sample.horizon == 1 else 'ticks'} ahead"
    title = tag("b", named(sample.stream), " \u00b7 ", named(sample.target))
    if not sample.time_ms:
        return tag("figure", tag("figcaption", title, tag("span", f"{ahead}, nothing in it")))
    extent = between(min(sample.time_ms), max(sample.time_ms))
    caption = tag("figcaption", title, tag("span", f"{ahead} \u00b7 {extent}"))
    return tag("figure", caption, draw(_sample_plot(sample, number, f"{ahead}, {extent}")))


def _sample_plot(sample: Sample, number: int, extent: str) -> Plot:
    low, high = sample.low or [], sample.high or []
    has_band = bool(sample.low and sample.high)
    known = drawable(sample.actual)
    came = f"from {significant(min(known))} to {significant(max(known))}" if known else "nothing"
    return Plot(
        key=f"sample-{number}",
        title=f"{isolated(sample.target)} of {isolated(sample.stream)}: predicted and actual",
        description=f"{extent}. What came: {came}.",
        x=time_axis(sample.time_ms),
        y=linear_axis([*sample.actual, *sample.predicted, *low, *high], most=5),
        lines=[Curve("model", sample.time_ms, sample.predicted), Curve("actual", sample.time_ms, sample.actual)],
        bands=[Band("model", sample.time_ms, low, high)] if has_band else [],
        height=200,
    )

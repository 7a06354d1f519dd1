"""What the dashboard asks Prometheus for, in PromQL: rates, quantiles and shares of our metrics. Draws nothing."""

from collections.abc import Sequence

from deploy.generate.panels import Query

HERE = 'job=~"$job",instance=~"$instance"'
OF_TARGET = f'{HERE},target=~"$target",horizon=~"$horizon"'
GOOD_WITHIN_S = 1.0
"""Also of the recording rules: what is answered later counts as slow."""
INSTANCE = "{{instance}}"
AHEAD = "{{target}}, {{horizon}} ahead"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def rate(name: str, by: str = "", where: str = HERE) -> str:
    """The sum of a counter's rates over whatever `by` does not name."""
    return f"sum{_by(by)} (rate(streamrnn_{name}{{{where}}}[$__rate_interval]))"


def increase(name: str, by: str = "", over: str = "$__rate_interval") -> str:
    """The sum of a counter's increases over whatever `by` does not name."""
    return f"sum{_by(by)} (increase(streamrnn_{name}{{{HERE}}}[{over}]))"


def quantile(share: float, name: str, by: str = "") -> str:
    """Of a histogram, over whatever `by` does not name."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', f'{by}, le' if by else 'le')})"


def quantiles(name: str, *shares: float) -> list[Query]:
    """Several of a histogram, each named as p99 is."""
    return [Query(quantile(share, name), f"p{share * 100:g}") for share in shares]


def mean(name: str) -> str:
    """Of a histogram."""
    return f"{rate(f'{name}_sum')} / {rate(f'{name}_count')}"


def gauge(how: str, name: str, by: str = "") -> str:
    """The sum, min, max or avg of a gauge over whatever `by` does not name."""
    return f"{how}{_by(by)} (streamrnn_{name}{{{HERE}}})"


def each(how: str, name: str, by: str, legend: str = "") -> Sequence[Query]:
    """One series for each value of `by`: `rate` and `increase` of a counter, or how a gauge is put together."""
    made = {"rate": rate, "increase": increase}.get(how)
    shown = legend or ", ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return (Query(made(name, by) if made else gauge(how, name, by), shown),)


def error(name: str) -> str:
    """A rolling error of the model and of persistence, for each target and horizon."""
    return f"avg by (target, horizon, model) (streamrnn_rolling_{name}{{{OF_TARGET}}})"


def of_persistence(by: str = " by (target, horizon)") -> str:
    """The model's squared error in shares of that of saying the last value again."""
    sides = (f'avg{by} (streamrnn_rolling_mse{{{OF_TARGET},model="{who}"}})' for who in ("model", "persistence"))
    return " / ".join(sides)


def phases(*names: str) -> str:
    """The number, from 1, of the phase that each partition is in."""
    of = f"max by (partition) (streamrnn_partition_phase{{{HERE},phase="
    return " or ".join(f'{n} * ({of}"{name}"}}) == 1)' for n, name in enumerate(names, 1))


DEAD_SHARE = f"({rate('dead_letters_total')} / ({rate('ticks_total')} + {rate('dead_letters_total')})) or vector(0)"
SLOW_SHARE = "1 - " + " / ".join(
    (rate("latency_seconds_bucket", where=f'{HERE},le="{GOOD_WITHIN_S}"'), rate("latency_seconds_count"))
)
MISSING_SHARE = f"{rate('features_missing_total', 'feature')} / on () group_left () {rate('ticks_total')}"
NOT_LIVE = f'sum (streamrnn_partition_phase{{{HERE},phase=~"gated|recovering"}})'
HEADROOM = f"{gauge('max', 'snapshot_offset', 'partition')} - {gauge('max', 'log_start_offset', 'partition')}"
SNAPSHOT_AGE = f"time() - {gauge('min', 'snapshot_last_success_timestamp_seconds', 'instance')}"
RETRAIN_AGE = f"time() - {gauge('max', 'retrain_last_success_timestamp_seconds', 'instance')}"
MODELS = f"count by (model, cell, device) (streamrnn_model_info{{{HERE}}})"

"""Owns what declared counters and gauges stand at, those of retrain jobs too. Knows nothing of histograms."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streamrnn.metrics.declared import OUTCOMES, Declared


class Counters(Collector):
    """The counters and gauges among what is declared, by name and labels; counted on one thread."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self._declared = declared
        self._values: dict[str, dict[tuple[str, ...], float]] = {d.name: {} for d in declared}
        for each in declared:
            if each.type == "counter" and not each.labels:
                self._set(each.name, 0.0)

    def _set(self, name: str, value: float, *labels: str) -> None:
        self._values[name][labels] = value

    def _add(self, name: str, value: float, *labels: str) -> None:
        self._values[name][labels] = self._values[name].get(labels, 0.0) + value

    def _family(self, declared: Declared) -> Metric:
        kind = CounterMetricFamily if declared.type == "counter" else GaugeMetricFamily
        family = kind(declared.name, declared.help, labels=declared.labels)
        for values, value in self._values[declared.name].items():
            family.add_metric(values, value)
        return family

    def collect(self) -> Iterator[Metric]:
        """Every declared metric with what it stands at."""
        yield from map(self._family, self._declared)

    def retrain_enabled(self) -> None:
        """Retrain jobs may be started: from now on there is something to count."""
        self._set("streamrnn_retrain_running", 0.0)
        for outcome in OUTCOMES:
            self._set("streamrnn_retrain_runs_total", 0.0, outcome)

    def retrain_started(self) -> None:
        """A retrain job runs."""
        self._set("streamrnn_retrain_running", 1.0)

    def retrain_ended(self, outcome: str, seconds: float, now_s: float) -> None:
        """It ended, after `seconds`, with one of OUTCOMES; now_s in seconds since the epoch."""
        self._set("streamrnn_retrain_running", 0.0)
        self._add("streamrnn_retrain_runs_total", 1, outcome)
        self._set("streamrnn_retrain_last_duration_seconds", seconds)
        if outcome == "succeeded":
            self._set("streamrnn_retrain_last_success_timestamp_seconds", now_s)

"""What the service counts, observed in columns per batch, never per tick, never labelled by stream.

Units are base units (seconds, bytes). Knows numpy and prometheus_client, and the columns it counts.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest, make_asgi_app
from prometheus_client.core import HistogramMetricFamily, Metric

from streamrnn.metrics.counters import Counters
from streamrnn.metrics.counting import Histogram, Recent, RollingErrors
from streamrnn.metrics.declared import (
    DECLARED,
    DURATIONS_S,
    LATENCY_S,
    OF_PARTITION,
    PHASES,
    RECENT_LATENCIES,
    SIZES,
    STAGES,
)
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import DeadLetter, PredictionBatch


class Held(NamedTuple):
    """What the engine holds, and what has left or come back since the start."""

    streams: int
    parked: int
    slab_bytes: int
    evicted_total: int
    brought_back_total: int
    forgotten_total: int


class Metrics(Counters):
    """What the service counts, on the event loop's thread; one per process, in a registry of its own."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__(DECLARED)
        self._registry, self._now_s = CollectorRegistry(), now_s
        self._latency = Histogram(LATENCY_S)
        self._stages = {stage: Histogram(LATENCY_S) for stage in STAGES}
        self._batches, self._waves = Histogram(SIZES), Histogram(SIZES)
        self._spec: ModelSpec | None = None
        self._errors: RollingErrors | None = None
        self._recent = Recent(RECENT_LATENCIES)
        self._owned: set[int] = set()
        self._shown = (now_s(), 0.0)
        self._recoveries, self._snapshots = Histogram(DURATIONS_S), Histogram(DURATIONS_S)
        self._registry.register(self)

    def model(self, spec: ModelSpec, device: str) -> None:
        """Name the model that serves; its rolling errors begin anew where it is another."""
        if self._spec is not None and self._spec.label == spec.label:
            return
        self._spec = spec
        self._errors = RollingErrors((len(spec.scored_horizons), len(spec.targets)))
        self._values["streamrnn_model_info"] = {(spec.label, spec.cell, device): 1.0}

    def registry_failed(self) -> None:
        """The registry could not be asked which models are wanted."""
        self._add("streamrnn_registry_failures_total", 1)

    def batch(self, batch: PredictionBatch, now_ms: float, model: str | None = None) -> None:
        """A batch whose predictions are acknowledged, and the null values beside them.

        Errors count where `model` is the one that serves, or is not told.
        """
        n, endings, skipped = len(batch.ticks), batch.ticks.endings, batch.ticks.skipped
        if endings is not None:
            self._add("streamrnn_tombstones_total", len(endings), "forget")
        if skipped:
            self._add("streamrnn_tombstones_total", skipped, "skip")
        if batch.ticks.outliers is not None:
            self._by_feature("streamrnn_outliers_total", batch.ticks.outliers)
        if not n:
            return
        if batch.ticks.missing is not None:
            self._by_feature("streamrnn_features_missing_total", batch.ticks.missing)
        self._add("streamrnn_times_far_total", batch.ticks.far)
        is_ok = batch.ok
        self._observe_latency(batch.ticks.arrival_ms[is_ok], now_ms)
        self._batches.observe_one(n)
        self._waves.observe(np.array(batch.wave_sizes, dtype=np.float64))
        self._add("streamrnn_ticks_total", n)
        self._add("streamrnn_predictions_total", int(np.count_nonzero(is_ok)))
        if self._errors is not None and self._spec is not None and model in (None, self._spec.label):
            self._errors.add(batch.errors)

    def _by_feature(self, name: str, counts: NDArray[np.int64]) -> None:
        for feature, count in zip(self._spec.features if self._spec else (), counts.tolist(), strict=False):
            if count:
                self._add(name, count, feature)

    def _observe_latency(self, arrival_ms: NDArray[np.int64], now_ms: float) -> None:
        """Records without a timestamp (-1) tell no latency; a clock ahead of ours counts as none."""
        latency = np.maximum(0.0, (now_ms - arrival_ms[arrival_ms >= 0]) / 1000)
        self._latency.observe(latency)
        self._recent.observe(latency)

    def stage(self, name: str, seconds: float) -> None:
        """Time a batch spent in a stage of STAGES."""
        self._stages[name].observe_one(seconds)

    def dead(self, letters: list[DeadLetter]) -> None:
        """Dead letters acknowledged."""
        for reason, count in Counter((letter.stage, letter.code) for letter in letters).items():
            self._add("streamrnn_dead_letters_total", count, *reason)

    def lag(self, partition: int, records: int, seconds: float) -> None:
        """How far a partition is behind; nothing if `state` says that it has left meanwhile."""
        if partition not in self._owned:
            return
        self._set("streamrnn_lag_records", records, str(partition))
        self._set("streamrnn_lag_seconds", seconds, str(partition))

    def dropped(self, ticks: Counter[str]) -> None:
        """Ticks passed over by policy, by reason."""
        for reason, count in ticks.items():
            self._add("streamrnn_ticks_dropped_total", count, reason)

    def skipped(self, offsets: Mapping[str, int]) -> None:
        """Offsets passed over so far because nobody can read them, by reason."""
        for reason, count in offsets.items():
            self._set("streamrnn_records_skipped_total", count, reason)

    def undone(self) -> None:
        """An interval is done again."""
        self._add("streamrnn_intervals_undone_total", 1)

    def recovering(self, partition: int, records: int, seconds: float) -> None:
        """What a recovery has still to replay."""
        self._set("streamrnn_recovery_records_left", records, str(partition))
        self._set("streamrnn_recovery_left_seconds", seconds, str(partition))

    def recovered(self, source: str, seconds: float) -> None:
        """A recovery is done; source is one of RECOVERED_FROM."""
        self._add("streamrnn_recoveries_total", 1, source)
        self._recoveries.observe_one(seconds)

    def recovery_failed(self) -> None:
        """A recovery failed and will be tried again."""
        self._add("streamrnn_recovery_failures_total", 1)

    def snapshot_written(self, size: int, seconds: float) -> None:
        """A snapshot is whole; its new bytes, and how long it took."""
        self._add("streamrnn_snapshots_total", 1)
        self._add("streamrnn_snapshot_bytes_total", size)
        self._set("streamrnn_snapshot_last_success_timestamp_seconds", time.time())
        self._snapshots.observe_one(seconds)

    def snapshot_failed(self) -> None:
        """A snapshot could not be written."""
        self._add("streamrnn_snapshot_failures_total", 1)

    def snapshot_kept_at(self, partition: int, offset: int, behind: int) -> None:
        """From where on a recovery would replay, and how many records."""
        if partition in self._owned:
            self._set("streamrnn_snapshot_offset", offset, str(partition))
            self._set("streamrnn_snapshot_behind_records", behind, str(partition))

    def log_start(self, partition: int, offset: int) -> None:
        """The first offset that the topic still has of a partition."""
        if partition in self._owned:
            self._set("streamrnn_log_start_offset", offset, str(partition))

    def resident(self, held: Held) -> None:
        """What the engine holds."""
        self._set("streamrnn_streams", held.streams)
        self._set("streamrnn_streams_parked", held.parked)
        self._set("streamrnn_slab_bytes", held.slab_bytes)
        self._set("streamrnn_streams_evicted_total", held.evicted_total)
        self._set("streamrnn_streams_brought_back_total", held.brought_back_total)
        self._set("streamrnn_streams_forgotten_total", held.forgotten_total)

    def rebalance(self) -> None:
        """An assignment was taken."""
        self._add("streamrnn_rebalances_total", 1)

    def lines(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many partitions each model speaks of, or follows in which state, by model and LINE_STATES."""
        self._values["streamrnn_line_partitions"] = {key: float(count) for key, count in counts.items()}

    def compared(self, figures: Iterable[tuple[str, str, int, float | None, int]]) -> None:
        """How two models do on the same truths: model, target, horizon, mean squared error, truths."""
        for name in ("streamrnn_compared_mse", "streamrnn_compared_truths"):
            self._values[name] = {}
        for model, target, horizon, mse, truths in figures:
            if mse is not None:
                self._set("streamrnn_compared_mse", mse, model, target, str(horizon))
                self._set("streamrnn_compared_truths", truths, target, str(horizon))

    def cut_over(self) -> None:
        """Another model speaks of a partition from now on."""
        self._add("streamrnn_cut_overs_total", 1)

    def model_refused(self) -> None:
        """A model that was wanted could not be taken."""
        self._add("streamrnn_models_refused_total", 1)

    def loop_lag(self, seconds: float) -> None:
        """How late a timer of the event loop was."""
        self._set("streamrnn_event_loop_lag_seconds", seconds)

    def broker_up(self, is_up: bool) -> None:
        """Whether the broker answers."""
        self._set("streamrnn_broker_up", float(is_up))

    def breaker(self, is_open: bool) -> None:
        """Whether dead letters pause the input."""
        self._set("streamrnn_breaker_open", float(is_open))

    def state(self, phases: Mapping[int, str]) -> None:
        """The phase of every owned partition; partitions that left leave the lag gauges too."""
        self._owned = set(phases)
        self._values["streamrnn_partition_phase"] = {
            (str(n), phase): float(phase == now) for n, now in phases.items() for phase in PHASES
        }
        for name in OF_PARTITION:
            self._values[name] = {k: v for k, v in self._values[name].items() if int(k[0]) in phases}

    def glance(self) -> dict[str, float]:
        """For a live view: ticks, ticks/s since the last call, p50 and p99 latency in seconds, dead letters,
        streams, mse and persistence_mse of the first horizon over all targets (NaN before the first truth).
        """
        now, ticks = self._now_s(), self._values["streamrnn_ticks_total"].get((), 0.0)
        (then, before), self._shown = self._shown, (now, ticks)
        p50_s, p99_s = self._recent.percentiles(50, 99)
        means = self._errors.means()[:, 0].mean(axis=1) if self._errors else np.full(4, np.nan)
        return {
            "ticks": ticks,
            "ticks_per_s": (ticks - before) / max(1e-9, now - then),
            "p50_s": p50_s,
            "p99_s": p99_s,
            "streams": self._values["streamrnn_streams"].get((), 0.0),
            "dead_letters": sum(self._values["streamrnn_dead_letters_total"].values()),
            "mse": float(means[0]),
            "persistence_mse": float(means[2]),
        }

    def text(self) -> bytes:
        """The exposition Prometheus scrapes."""
        return generate_latest(self._registry)

    def application(self) -> Callable[..., Awaitable[None]]:
        """An ASGI application that answers with the exposition, in OpenMetrics' form for who asks for it.

        Not compressed: that would hold the event loop longer than writing the text does.
        """
        application: Callable[..., Awaitable[None]] = make_asgi_app(self._registry, disable_compression=True)
        return application

    def collect(self) -> Iterator[Metric]:
        """Every declared metric with what it stands at."""
        self._publish_errors()
        histograms: dict[str, list[tuple[tuple[str, ...], Histogram]]] = {
            "streamrnn_latency_seconds": [((), self._latency)],
            "streamrnn_stage_seconds": [((stage,), h) for stage, h in self._stages.items()],
            "streamrnn_batch_ticks": [((), self._batches)],
            "streamrnn_wave_ticks": [((), self._waves)],
            "streamrnn_recovery_seconds": [((), self._recoveries)],
            "streamrnn_snapshot_seconds": [((), self._snapshots)],
        }
        for declared in DECLARED:
            if declared.type != "histogram":
                yield self._family(declared)
                continue
            family = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
            for values, histogram in histograms[declared.name]:
                family.add_metric(values, histogram.buckets(), histogram.total)
            yield family

    def _publish_errors(self) -> None:
        """Set the error gauges; a horizon and target without a truth yet has none."""
        if self._errors is None or self._spec is None:
            return
        means = self._errors.means()
        for k, o in np.argwhere(self._errors.beyond > 0).tolist():
            key = (self._spec.targets[o], str(self._spec.scored_horizons[k]))
            self._set("streamrnn_truths_beyond_total", self._errors.beyond[k, o], *key)
        for k, o in np.argwhere(self._errors.truths > 0).tolist():
            key = (self._spec.targets[o], str(self._spec.scored_horizons[k]))
            self._set("streamrnn_truths_total", self._errors.truths[k, o], *key)
            for who, (mse, mae) in (("model", means[:2, k, o]), ("persistence", means[2:, k, o])):
                self._set("streamrnn_rolling_mse", mse, *key, who)
                self._set("streamrnn_rolling_rmse", mse**0.5, *key, who)
                self._set("streamrnn_rolling_mae", mae, *key, who)

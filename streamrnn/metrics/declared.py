"""Every metric declared once: name, type, labels and meaning, for Prometheus and the reference. Counts nothing."""

from typing import NamedTuple

LATENCY_S = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
SIZES = tuple(float(2**power) for power in range(17))
STAGES = ("fetch", "queue", "decode", "step", "encode", "publish", "commit")
PHASES = ("gated", "recovering", "live", "switching", "draining")
OUTCOMES = ("succeeded", "failed", "timed_out")
"""How a retrain job ends."""
RECOVERED_FROM = ("new", "memory", "snapshot", "beginning", "warmup")
"""Where a partition's rows came from."""
RECENT_LATENCIES = 65_536
DURATIONS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)


class Declared(NamedTuple):
    """One metric as the docs and Prometheus see it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


_BY_ERROR = ("target", "horizon", "model")
OF_PARTITION = (
    "streamrnn_lag_records",
    "streamrnn_lag_seconds",
    "streamrnn_recovery_records_left",
    "streamrnn_recovery_left_seconds",
    "streamrnn_snapshot_offset",
    "streamrnn_snapshot_behind_records",
    "streamrnn_log_start_offset",
)
"""Gauges that go when a partition goes."""
DECLARED = (
    Declared("streamrnn_model_info", "gauge", ("model", "cell", "device"), "The model that serves, always 1."),
    Declared("streamrnn_registry_failures_total", "counter", (), "Looks for a new champion that failed."),
    Declared("streamrnn_ticks_total", "counter", (), "Ticks stepped."),
    Declared("streamrnn_predictions_total", "counter", (), "Predictions acknowledged by the broker."),
    Declared("streamrnn_dead_letters_total", "counter", ("stage", "code"), "Records refused, by reason."),
    Declared("streamrnn_ticks_dropped_total", "counter", ("reason",), "Ticks passed over by policy."),
    Declared("streamrnn_records_skipped_total", "counter", ("reason",), "Offsets of batches that cannot be read."),
    Declared("streamrnn_outliers_total", "counter", ("feature",), "Values outside their feature's bounds."),
    Declared("streamrnn_features_missing_total", "counter", ("feature",), "Ticks that miss a feature."),
    Declared("streamrnn_times_far_total", "counter", (), "Ticks more than a day from their record's timestamp."),
    Declared("streamrnn_tombstones_total", "counter", ("policy",), "Null values that were no dead letters."),
    Declared("streamrnn_intervals_undone_total", "counter", (), "Intervals between commits that were done again."),
    Declared("streamrnn_latency_seconds", "histogram", (), "From the record's timestamp to its prediction."),
    Declared("streamrnn_stage_seconds", "histogram", ("stage",), "Time a batch spends in each stage."),
    Declared("streamrnn_batch_ticks", "histogram", (), "Ticks in a batch."),
    Declared("streamrnn_wave_ticks", "histogram", (), "Ticks in a wave."),
    Declared("streamrnn_lag_records", "gauge", ("partition",), "Records not yet stepped."),
    Declared("streamrnn_lag_seconds", "gauge", ("partition",), "Age of the newest stepped record while behind."),
    Declared("streamrnn_partition_phase", "gauge", ("partition", "phase"), "1 for the phase a partition is in."),
    Declared("streamrnn_recovery_records_left", "gauge", ("partition",), "Offsets still to be replayed."),
    Declared("streamrnn_recovery_left_seconds", "gauge", ("partition",), "Estimate of the time that takes."),
    Declared("streamrnn_recovery_seconds", "histogram", (), "From a partition's gate to its rows being right."),
    Declared("streamrnn_recoveries_total", "counter", ("source",), "Recoveries, by where rows came from."),
    Declared("streamrnn_recovery_failures_total", "counter", (), "Recoveries that failed and were begun again."),
    Declared("streamrnn_snapshots_total", "counter", (), "Snapshots written."),
    Declared("streamrnn_snapshot_failures_total", "counter", (), "Snapshots that could not be written."),
    Declared("streamrnn_snapshot_seconds", "histogram", (), "From taking a snapshot to its manifest."),
    Declared("streamrnn_snapshot_bytes_total", "counter", (), "Bytes written for snapshots."),
    Declared("streamrnn_snapshot_last_success_timestamp_seconds", "gauge", (), "When one was last written."),
    Declared("streamrnn_snapshot_offset", "gauge", ("partition",), "Of the newest snapshot, or where state began."),
    Declared("streamrnn_snapshot_behind_records", "gauge", ("partition",), "Records since: what a crash replays."),
    Declared("streamrnn_log_start_offset", "gauge", ("partition",), "The first offset that retention has left."),
    Declared("streamrnn_streams", "gauge", (), "Streams that hold state on the device."),
    Declared("streamrnn_streams_parked", "gauge", (), "Streams whose state waits in host memory."),
    Declared("streamrnn_streams_evicted_total", "counter", (), "Streams that left the device for newer ones."),
    Declared("streamrnn_streams_brought_back_total", "counter", (), "Parked streams that came back with a tick."),
    Declared("streamrnn_streams_forgotten_total", "counter", (), "Parked streams given up for want of room."),
    Declared("streamrnn_slab_bytes", "gauge", (), "Bytes of state on the device."),
    Declared("streamrnn_line_partitions", "gauge", ("model", "state"), "Partitions, by who speaks or follows."),
    Declared(
        "streamrnn_compared_mse",
        "gauge",
        ("model", "target", "horizon"),
        "Mean squared error on the truths that two models both had forecast, since they are compared.",
    ),
    Declared("streamrnn_compared_truths", "gauge", ("target", "horizon"), "How many such truths there were."),
    Declared("streamrnn_cut_overs_total", "counter", (), "Times another model began to speak of a partition."),
    Declared("streamrnn_models_refused_total", "counter", (), "Models that were wanted and could not be taken."),
    Declared("streamrnn_rebalances_total", "counter", (), "Assignments taken."),
    Declared("streamrnn_event_loop_lag_seconds", "gauge", (), "How late the event loop's last timer was."),
    Declared("streamrnn_broker_up", "gauge", (), "1 while the broker answers."),
    Declared("streamrnn_breaker_open", "gauge", (), "1 while too many dead letters pause the input."),
    Declared("streamrnn_truths_total", "counter", ("target", "horizon"), "Predictions whose truth has arrived."),
    Declared(
        "streamrnn_truths_beyond_total",
        "counter",
        ("target", "horizon"),
        "Truths left out of the rolling errors: beyond the model's bound, or forecast from a value that is.",
    ),
    Declared("streamrnn_rolling_mse", "gauge", _BY_ERROR, "Rolling mean squared error; model or persistence."),
    Declared("streamrnn_rolling_rmse", "gauge", _BY_ERROR, "Root of the rolling mean squared error."),
    Declared("streamrnn_rolling_mae", "gauge", _BY_ERROR, "Rolling mean absolute error."),
    Declared("streamrnn_retrain_running", "gauge", (), "1 while a retrain job runs that this daemon started."),
    Declared("streamrnn_retrain_runs_total", "counter", ("outcome",), "Retrain jobs of this daemon that ended."),
    Declared("streamrnn_retrain_last_success_timestamp_seconds", "gauge", (), "When one last ended well."),
    Declared("streamrnn_retrain_last_duration_seconds", "gauge", (), "How long the last one took."),
)

OF_WORKERS = (
    Declared("streamrnn_worker_up", "gauge", ("worker",), "1 while a worker process answers its supervisor."),
    Declared("streamrnn_worker_restarts_total", "counter", ("worker",), "Worker processes begun anew."),
)
"""Counted by the supervisor of several workers, which adds the label worker to all that the workers count."""
OF_RETRAINING = tuple(each for each in DECLARED if each.name.startswith("streamrnn_retrain_"))


def markdown_table() -> str:
    """The metrics table of the reference."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for name, kind, labels, meaning in DECLARED + OF_WORKERS:
        lines.append(f"| `{name}` | {kind} | {', '.join(labels)} | {meaning} |")
    return "\n".join(lines)

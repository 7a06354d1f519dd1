"""What is on the dashboard, row by row: golden signals first, then what explains them. Knows no JSON."""

from functools import partial

from deploy.generate.left_over import rest
from deploy.generate.panels import Panel, Query, Row
from deploy.generate.queries import (
    AHEAD,
    DEAD_SHARE,
    GOOD_WITHIN_S,
    HEADROOM,
    INSTANCE,
    MISSING_SHARE,
    MODELS,
    NOT_LIVE,
    OF_TARGET,
    RETRAIN_AGE,
    SLOW_SHARE,
    SNAPSHOT_AGE,
    each,
    error,
    gauge,
    increase,
    mean,
    of_persistence,
    phases,
    quantile,
    quantiles,
    rate,
)
from streamrnn.metrics import PHASES

PARTITION = "partition {{partition}}"
COLOURS = {"live": "green", "recovering": "orange", "gated": "purple", "switching": "blue", "draining": "text"}
stat = partial(Panel, kind="stat", width=3, height=4)
NOW = (
    stat("Ticks", "ops", [Query(rate("ticks_total"))], note="A second."),
    stat("Latency p50", "s", [Query(quantile(0.5, "latency_seconds"))]),
    stat(
        "Latency p99",
        "s",
        [Query(quantile(0.99, "latency_seconds"))],
        steps=((GOOD_WITHIN_S, "orange"), (10, "red")),
    ),
    stat(
        "Behind",
        "s",
        [Query(gauge("max", "lag_seconds"))],
        note="Of the partition that is farthest behind.",
        steps=((10, "orange"), (60, "red")),
    ),
    stat(
        "Dead letters",
        "percentunit",
        [Query(DEAD_SHARE)],
        note="Share of all records.",
        steps=((0.001, "orange"), (0.05, "red")),
    ),
    stat(
        "Partitions not served",
        "short",
        [Query(NOT_LIVE)],
        note="Gated or recovering: they answer nothing now.",
        steps=((1, "orange"),),
    ),
    stat(
        "Error beside persistence",
        "percentunit",
        [Query(of_persistence(""))],
        note="The model's squared error in shares of that of saying the last value again. Above 100 %: no use.",
        steps=((0.95, "orange"), (1.05, "red")),
    ),
    stat("Model", "short", [Query(MODELS, "{{model}} ({{cell}}, {{device}})")]),
)
GOLDEN = (
    Panel("Ticks a second", "ops", each("rate", "ticks_total", "instance"), stacked=True),
    Panel(
        "Latency",
        "s",
        quantiles("latency_seconds", 0.5, 0.9, 0.99),
        note="From the record's own timestamp: a producer that sends late, or whose clock is behind, shows here.",
        log=True,
    ),
    Panel(
        "Slow ticks",
        "percentunit",
        [Query(SLOW_SHARE, f"later than {GOOD_WITHIN_S:g} s")],
        note="The share that counts against the latency objective; recording.yaml has the same.",
        steps=((0.01, "red"),),
    ),
    Panel(
        "Behind, by partition",
        "s",
        [Query(f"topk(10, {gauge('max', 'lag_seconds', 'partition')})", PARTITION)],
        note="The ten farthest.",
        steps=((60, "red"),),
    ),
    Panel("Records not yet stepped", "short", each("sum", "lag_records", "instance"), stacked=True),
    Panel(
        "Dead letters a second",
        "ops",
        each("rate", "dead_letters_total", "stage, code"),
        note="REFERENCE.md tells what each code means; the records lie in the dead-letter topic.",
        stacked=True,
    ),
    Panel(
        "Where the time goes",
        "percentunit",
        each("rate", "stage_seconds_sum", "stage"),
        note="Seconds that batches spend in a stage, a second. Stages overlap: the sum may pass 100 %.",
        stacked=True,
    ),
    Panel("Stages, p99", "s", [Query(quantile(0.99, "stage_seconds", "stage"), "{{stage}}")], log=True),
    Panel("Latencies", "s", each("rate", "latency_seconds_bucket", "le"), "heatmap"),
    Panel("Predictions a second", "ops", each("rate", "predictions_total", "instance"), stacked=True),
    Panel(
        "Done again, passed over",
        "ops",
        [
            Query(rate("intervals_undone_total"), "intervals undone"),
            Query(rate("records_skipped_total", "reason"), "offsets skipped: {{reason}}"),
            Query(rate("ticks_dropped_total", "reason"), "ticks dropped: {{reason}}"),
            Query(rate("tombstones_total", "policy"), "null values: {{policy}}"),
        ],
        note="An undone interval is made up for; none of the others is answered by a prediction.",
    ),
    Panel(
        "Broker, breaker",
        "short",
        [
            *each("min", "broker_up", "instance", f"{INSTANCE}: broker answers"),
            *each("max", "breaker_open", "instance", f"{INSTANCE}: breaker open"),
        ],
        most=1,
    ),
)
STATE = (
    Panel(
        "Streams",
        "short",
        [
            Query(gauge("sum", "streams"), "on the device"),
            Query(gauge("sum", "streams_parked"), "parked in memory"),
        ],
        stacked=True,
    ),
    Panel(
        "Streams that move, a second",
        "ops",
        [
            Query(rate("streams_evicted_total"), "left the device"),
            Query(rate("streams_brought_back_total"), "came back"),
            Query(rate("streams_forgotten_total"), "forgotten"),
        ],
        note="Where many come back, engine.max_streams is too small. A forgotten stream begins anew.",
    ),
    Panel("State on the device", "bytes", each("sum", "slab_bytes", "instance")),
    Panel(
        "Age of the newest snapshot",
        "s",
        [Query(SNAPSHOT_AGE, INSTANCE)],
        note="One is written each snapshots.interval_s (30) while ticks come.",
        steps=((900, "red"),),
    ),
    Panel(
        "Snapshots",
        "short",
        [
            Query(increase("snapshots_total"), "written"),
            Query(increase("snapshot_failures_total"), "failed"),
        ],
    ),
    Panel(
        "What a crash replays",
        "short",
        each("max", "snapshot_behind_records", "partition", PARTITION),
    ),
    Panel(
        "Of retention left before replay",
        "short",
        [Query(HEADROOM, PARTITION)],
        note="Records between the log's start and the newest snapshot. Below 0 a crash costs the exact state.",
    ),
    Panel("Time a snapshot takes", "s", quantiles("snapshot_seconds", 0.5, 0.99)),
    Panel("Bytes of snapshots, a second", "Bps", each("rate", "snapshot_bytes_total", "instance")),
)
PARTITIONS = (
    Panel(
        "Phase of each partition",
        "short",
        [Query(phases(*PHASES), "{{partition}}")],
        "state-timeline",
        width=16,
        height=10,
        words=tuple((str(n), phase, COLOURS.get(phase, "yellow")) for n, phase in enumerate(PHASES, 1)),
    ),
    Panel(
        "Partitions",
        "short",
        [
            Query(gauge("max", "lag_seconds", "partition, instance"), "seconds behind"),
            Query(gauge("max", "lag_records", "partition, instance"), "records behind"),
        ],
        "table",
        width=8,
        height=10,
    ),
    Panel("Recovery, records left", "short", each("max", "recovery_records_left", "partition", PARTITION)),
    Panel("Recovery, time left", "s", each("max", "recovery_left_seconds", "partition", PARTITION)),
    Panel("Time a recovery takes", "s", quantiles("recovery_seconds", 0.5, 0.99)),
    Panel(
        "Recoveries by source",
        "short",
        [
            *each("increase", "recoveries_total", "source"),
            Query(increase("recovery_failures_total"), "failed, begun again"),
        ],
        note="warmup: state that was made anew, not restored.",
    ),
    Panel("Assignments taken", "short", each("increase", "rebalances_total", "instance")),
)
FORECASTS = (
    Panel(
        "Squared error in shares of persistence's",
        "percentunit",
        [Query(of_persistence(), AHEAD)],
        note="Above 100 % the last value again would be the better forecast.",
        steps=((1, "red"),),
        width=12,
    ),
    Panel(
        "Root of the squared error",
        "short",
        [Query(error("rmse"), f"{AHEAD}: {{{{model}}}}")],
        note="In the target's own unit.",
        width=12,
    ),
    Panel(
        "Absolute error",
        "short",
        [Query(error("mae"), f"{AHEAD}: {{{{model}}}}")],
        note="In the target's own unit.",
    ),
    Panel("Truths a second", "ops", [Query(rate("truths_total", "target, horizon", OF_TARGET), AHEAD)]),
    Panel("Truths left out", "ops", [Query(rate("truths_beyond_total", "target, horizon", OF_TARGET), AHEAD)]),
    Panel(
        "Features missing", "percentunit", [Query(MISSING_SHARE, "{{feature}}")], note="Share of all ticks.", most=1
    ),
    Panel("Outliers a second", "ops", each("rate", "outliers_total", "feature")),
    Panel("Ticks of another day a second", "ops", each("rate", "times_far_total", "instance")),
)
RETRAINING = (
    Panel("Jobs that run", "short", each("max", "retrain_running", "instance"), most=1),
    Panel("Jobs in a day", "short", [Query(increase("retrain_runs_total", "outcome", "1d"), "{{outcome}}")]),
    Panel("Duration of the last", "s", each("max", "retrain_last_duration_seconds", "instance")),
    Panel("Since the last success", "s", [Query(RETRAIN_AGE, INSTANCE)]),
)
PROCESS = (
    Panel("Event loop, late by", "s", each("max", "event_loop_lag_seconds", "instance")),
    Panel(
        "Ticks in a batch",
        "short",
        [Query(mean("batch_ticks"), "mean"), Query(quantile(0.99, "batch_ticks"), "p99")],
    ),
    Panel(
        "Ticks in a wave",
        "short",
        [Query(mean("wave_ticks"), "mean"), Query(quantile(0.99, "wave_ticks"), "p99")],
    ),
    Panel(
        "Workers up",
        "short",
        each("min", "worker_up", "instance, worker", f"{INSTANCE} worker {{{{worker}}}}"),
        note="Of a daemon of several workers (process.workers).",
        most=1,
    ),
    Panel(
        "Workers begun anew in an hour",
        "short",
        [Query(increase("worker_restarts_total", "instance, worker", "1h"), f"{INSTANCE} worker {{{{worker}}}}")],
    ),
)
PLACED = (
    Row("Now", NOW),
    Row("Golden signals", GOLDEN),
    Row("State", STATE),
    Row("Partitions and recovery", PARTITIONS),
    Row("Forecasts", FORECASTS),
    Row("Retraining", RETRAINING, folded=True),
    Row("Process", PROCESS, folded=True),
)
ROWS = (*PLACED, *rest(PLACED))

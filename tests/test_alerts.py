"""The alert rules and their route, by Prometheus's and Alertmanager's own tools: what fires and who hears of it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.test_deploy import ROOT, recorded, rules

PROMETHEUS = ROOT / "deploy/prometheus"
AN_HOUR, A_DAY = 60, 1440
WHO = 'job="s",instance="a"'
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the path (Prometheus)")
amtool = pytest.mark.skipif(shutil.which("amtool") is None, reason="no amtool on the path (Alertmanager)")


class Case(NamedTuple):
    """Series in promtool's notation, a value each minute or so many, and whether the alert fires at minute `at`."""

    alert: str
    at: int
    fires: bool
    series: dict[str, str]
    every: int = 1
    worker: str = ""


def mse(model: float, minutes: int, truths: int = 100) -> dict[str, str]:
    where = f'{WHO},target="OT",horizon="1"'
    return {
        f'streamrnn_rolling_mse{{model="model",{where}}}': f"{model}x{minutes}",
        f'streamrnn_rolling_mse{{model="persistence",{where}}}': f"1x{minutes}",
        f"streamrnn_truths_total{{{where}}}": f"0+{truths}x{minutes}",
    }


def snapshots(offset: str, behind: str, more: str = "") -> dict[str, str]:
    """Of one partition: the newest snapshot's offset, and records since."""
    where = ",".join(filter(None, ('partition="3"', more)))
    return one("snapshot_offset", offset, where) | one("snapshot_behind_records", behind, where)


def replay(kept_at: int, behind: int, log_start: int) -> dict[str, str]:
    return snapshots(f"{kept_at}x60", f"{behind}x60") | one("log_start_offset", f"{log_start}x60", 'partition="3"')


def one(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {f"streamrnn_{name}{{{','.join(filter(None, (WHO, labels)))}}}": values}


def latencies(slow: str, all_of_them: str) -> dict[str, str]:
    """Ticks answered within a second, and all that are answered."""
    return one("latency_seconds_bucket", slow, 'le="1.0"') | one("latency_seconds_count", all_of_them)


def lag(values: str) -> dict[str, str]:
    return one("lag_seconds", values, 'partition="3"')


def stalled(ticks: int, behind: int) -> dict[str, str]:
    return one("ticks_total", f"0+{ticks}x40") | one("lag_records", f"{behind}x40", 'partition="3"')


def refused(each_minute: int) -> dict[str, str]:
    return one("ticks_total", "0+1000x60") | one(
        "dead_letters_total", f"0+{each_minute}x60", 'stage="decode",code="null"'
    )


def up(value: int, ticks: str = "5x40") -> dict[str, str]:
    return {f"up{{{WHO}}}": f"{value}x40"} | one("ticks_total", ticks)


def recoveries(seconds_each: int) -> dict[str, str]:
    return one("recovery_seconds_sum", f"0+{seconds_each}x60") | one("recovery_seconds_count", "0+1x60")


def of_feature(name: str, each_minute: int) -> dict[str, str]:
    return one("ticks_total", "0+1000x90") | one(name, f"0+{each_minute}x90", 'feature="temp"')


def drift(now: float, truths: int = 100) -> dict[str, str]:
    """A quarter of an hour each value: a week and a day of an error half of persistence's, then another."""
    where = f'{WHO},target="OT",horizon="1"'
    before, since = 8 * A_DAY // 15, 20
    return {
        f'streamrnn_rolling_mse{{model="model",{where}}}': f"0.5x{before} {now}x{since}",
        f'streamrnn_rolling_mse{{model="persistence",{where}}}': f"1x{before + since}",
        f"streamrnn_truths_total{{{where}}}": f"0+{15 * truths}x{before + since}",
    }


AGE = one("retrain_last_success_timestamp_seconds", "0x1000")
CASES = (
    Case("StreamrnnWorseThanPersistence", 300, True, mse(1.2, 300)),
    Case("StreamrnnWorseThanPersistence", 100, False, mse(1.2, 100)),
    Case("StreamrnnWorseThanPersistence", 300, False, mse(1.01, 300)),
    Case("StreamrnnWorseThanPersistence", 300, False, mse(1.2, 300, truths=10)),
    Case("StreamrnnRetrainFailed", 20, True, one("retrain_runs_total", "0x10 1x10", 'outcome="failed"')),
    Case("StreamrnnRetrainFailed", 20, False, one("retrain_runs_total", "0x10 1x10", 'outcome="succeeded"')),
    Case("StreamrnnRetrainStuck", 5 * AN_HOUR, True, one("retrain_running", "1x400")),
    Case("StreamrnnRetrainStuck", 3 * AN_HOUR, False, one("retrain_running", "1x400")),
    Case("StreamrnnModelOld", 31 * A_DAY, True, AGE, AN_HOUR),
    Case("StreamrnnModelOld", 29 * A_DAY, False, AGE, AN_HOUR),
    Case("StreamrnnSnapshotsFail", 40, True, one("snapshot_failures_total", "0+1x60")),
    Case("StreamrnnSnapshotsFail", 40, False, one("snapshot_failures_total", "3x60")),
    Case("StreamrnnSnapshotsOld", 20, True, snapshots("50x60", "1+100x60")),
    Case("StreamrnnSnapshotsOld", 20, False, snapshots("50x60", "0x60")),
    Case("StreamrnnSnapshotsOld", 20, False, snapshots("0+100x60", "100x60")),
    Case("StreamrnnSnapshotsOld", 10, False, snapshots("50x60", "1+100x60")),
    # Of two partitions one is idle: its old snapshot is nothing of the other's.
    Case(
        "StreamrnnSnapshotsOld",
        20,
        False,
        snapshots("50x60", "0x60") | {key.replace("3", "4"): "0+100x60" for key in snapshots("", "")},
    ),
    # Of two workers that share a daemon the one whose snapshots stand is named.
    Case(
        "StreamrnnSnapshotsOld",
        20,
        True,
        snapshots("50x60", "1+100x60", 'worker="0"'),
        worker="0",
    ),
    Case("StreamrnnReplayOutrun", 20, True, replay(kept_at=1000, behind=900, log_start=800)),
    Case("StreamrnnReplayOutrun", 20, True, replay(kept_at=1000, behind=900, log_start=1200)),
    Case("StreamrnnReplayOutrun", 20, False, replay(kept_at=1000, behind=900, log_start=600)),
    Case("StreamrnnReplayOutrun", 20, False, replay(kept_at=10, behind=900, log_start=0)),
    Case("StreamrnnWorkerRestarts", 20, True, one("worker_restarts_total", "0 1 2 3 4x30", 'worker="1"')),
    Case("StreamrnnWorkerRestarts", 20, False, one("worker_restarts_total", "0 1x30", 'worker="1"')),
    Case("StreamrnnNotLive", 15, True, one("partition_phase", "1x30", 'partition="3",phase="recovering"')),
    Case("StreamrnnNotLive", 15, False, one("partition_phase", "1x30", 'partition="3",phase="live"')),
    Case("StreamrnnNotLive", 5, False, one("partition_phase", "1x30", 'partition="3",phase="gated"')),
    Case("StreamrnnStateWarmedUp", 10, True, one("recoveries_total", "0x5 1x20", 'source="warmup"')),
    Case("StreamrnnStateWarmedUp", 10, False, one("recoveries_total", "0x5 1x20", 'source="snapshot"')),
    Case("StreamrnnRecordsSkipped", 10, True, one("records_skipped_total", "_x5 10x20", 'reason="crc"')),
    Case("StreamrnnRecordsSkipped", 10, True, one("records_skipped_total", "10x5 20x20", 'reason="crc"')),
    Case("StreamrnnRecordsSkipped", 40, False, one("records_skipped_total", "_x5 10x60", 'reason="crc"')),
    Case("StreamrnnIntervalsUndone", 20, True, one("intervals_undone_total", "0+3x30")),
    Case("StreamrnnIntervalsUndone", 20, False, one("intervals_undone_total", "0+1x30")),
    Case("StreamrnnStreamsForgotten", 30, True, one("streams_forgotten_total", "0x20 4x20")),
    Case("StreamrnnStreamsForgotten", 30, False, one("streams_forgotten_total", "4x60")),
    Case("StreamrnnBreakerOpen", 10, True, one("breaker_open", "1x30")),
    Case("StreamrnnBreakerOpen", 3, False, one("breaker_open", "1x30")),
    Case("StreamrnnLatencyBudgetBurnsFast", 90, True, latencies("0+80x120", "0+100x120")),
    Case("StreamrnnLatencyBudgetBurnsFast", 90, False, latencies("0+90x120", "0+100x120")),
    # A bad hour that is over: the short window knows.
    Case("StreamrnnLatencyBudgetBurnsFast", 75, False, latencies("0+50x60 3100+100x60", "0+100x120")),
    Case("StreamrnnLatencyBudgetBurnsSlowly", 400, True, latencies("0+90x450", "0+100x450")),
    Case("StreamrnnLatencyBudgetBurnsSlowly", 400, False, latencies("0+95x450", "0+100x450")),
    Case("StreamrnnLagGrows", 40, True, lag("0+10x60")),
    Case("StreamrnnLagGrows", 40, False, lag("600-10x60")),
    Case("StreamrnnLagGrows", 40, False, lag("0+1x60")),
    Case("StreamrnnStalled", 30, True, stalled(ticks=0, behind=5)),
    Case("StreamrnnStalled", 30, False, stalled(ticks=0, behind=0)),
    Case("StreamrnnStalled", 30, False, stalled(ticks=1, behind=5)),
    Case("StreamrnnDeadLetters", 40, True, refused(20)),
    Case("StreamrnnDeadLetters", 40, False, refused(5)),
    Case("StreamrnnBrokerAway", 10, True, one("broker_up", "0x30")),
    Case("StreamrnnBrokerAway", 10, False, one("broker_up", "1x30")),
    Case("StreamrnnDown", 20, True, up(0, "5x10")),
    Case("StreamrnnDown", 20, False, up(1)),
    Case("StreamrnnDown", 20, False, {f"up{{{WHO}}}": "0x40"}),
    Case("StreamrnnAbsent", 20, True, {f"up{{{WHO}}}": "0x40"}),
    Case("StreamrnnAbsent", 20, False, one("ticks_total", "0x40")),
    Case("StreamrnnRecoveriesSlow", 30, True, recoveries(400)),
    Case("StreamrnnRecoveriesSlow", 30, False, recoveries(100)),
    Case("StreamrnnRecoveriesFail", 20, True, one("recovery_failures_total", "0+1x30")),
    Case("StreamrnnRecoveriesFail", 20, False, one("recovery_failures_total", "0x10 1x20")),
    Case("StreamrnnDrift", 8 * A_DAY + 200, True, drift(0.7), 15),
    Case("StreamrnnDrift", 8 * A_DAY + 200, False, drift(0.6), 15),
    Case("StreamrnnDrift", 8 * A_DAY + 200, False, drift(0.7, truths=1), 15),
    Case("StreamrnnInputOutOfBounds", 80, True, of_feature("outliers_total", 100)),
    Case("StreamrnnInputOutOfBounds", 80, False, of_feature("outliers_total", 20)),
    Case("StreamrnnFeatureMissing", 80, True, of_feature("features_missing_total", 900)),
    Case("StreamrnnFeatureMissing", 80, False, of_feature("features_missing_total", 200)),
    Case("StreamrnnEventLoopLate", 20, True, one("event_loop_lag_seconds", "2x30")),
    Case("StreamrnnEventLoopLate", 20, False, one("event_loop_lag_seconds", "2 0 2 0 2 0 2 0 2 0x30")),
)


def run(tool: str, *arguments: object) -> str:
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needed(alert: str) -> list[Any]:
    """An alert after what is recorded for it: with all rules each case would take thirty times as long."""
    [rule] = [rule for rule in rules() if rule["alert"] == alert]
    return [*({"record": name, "expr": expr} for name, expr in recorded().items() if name in rule["expr"]), rule]


def firing(case: Case) -> list[Any]:
    """What promtool is to expect: the alert with its labels and annotations as the rules have them, filled in."""
    [rule] = [rule for rule in rules() if rule["alert"] == case.alert]
    labels: dict[str, str] = {}
    for series in case.series:
        labels |= dict(pair.split("=") for pair in series[series.index("{") + 1 : -1].replace('"', "").split(","))
    labels |= {"worker": case.worker} if case.worker else {}
    kept = {name: labels[name] for name in labels if name in KEPT[case.alert]}
    texts = dict(rule["annotations"])
    for name, value in kept.items():
        texts = {key: text.replace(f"{{{{ $labels.{name} }}}}", value) for key, text in texts.items()}
    return [{"exp_labels": rule["labels"] | kept, "exp_annotations": texts}]


KEPT = {alert: {"job", "instance"} for alert in {case.alert for case in CASES}} | {
    "StreamrnnWorseThanPersistence": {"job", "target", "horizon"},
    "StreamrnnSnapshotsOld": {"job", "instance", "worker", "partition"},
    "StreamrnnReplayOutrun": {"job", "instance", "partition"},
    "StreamrnnWorkerRestarts": {"job", "instance", "worker"},
    "StreamrnnRetrainFailed": {"job", "instance", "outcome"},
    "StreamrnnNotLive": {"job", "instance", "partition"},
    "StreamrnnStateWarmedUp": {"job", "instance", "source"},
    "StreamrnnRecordsSkipped": {"job", "instance", "reason"},
    "StreamrnnLatencyBudgetBurnsFast": {"job"},
    "StreamrnnLatencyBudgetBurnsSlowly": {"job"},
    "StreamrnnLagGrows": {"job", "partition"},
    "StreamrnnDeadLetters": {"job"},
    "StreamrnnAbsent": set(),
    "StreamrnnDrift": {"job", "target", "horizon"},
    "StreamrnnInputOutOfBounds": {"job", "feature"},
    "StreamrnnFeatureMissing": {"job", "feature"},
}
"""The labels an alert is left with by its expression."""


def test_every_rule_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {(case.alert, case.fires) for case in CASES} == {(r["alert"], f) for r in rules() for f in (True, False)}


@promtool
def test_prometheus_takes_the_files_as_they_are() -> None:
    run("promtool", "check", "rules", PROMETHEUS / "recording.yaml", *PROMETHEUS.glob("*-alert.yaml"))


@promtool
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.at}-{case.fires}")
def test_an_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    expected = firing(case) if case.fires else []
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": needed(case.alert)}]}), encoding="utf-8")
    test = {
        "rule_files": [str(path)],
        "evaluation_interval": f"{case.every}m",
        "tests": [
            {
                "interval": f"{case.every}m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "alert_rule_test": [{"alertname": case.alert, "eval_time": f"{case.at}m", "exp_alerts": expected}],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    run("promtool", "test", "rules", path)


@amtool
def test_alertmanager_takes_the_route_and_sends_only_what_asks_for_a_retrain() -> None:
    path = PROMETHEUS / "alertmanager-retrain.yaml"
    run("amtool", "check-config", path)
    for rule in rules():
        labels = [f"{name}={value}" for name, value in rule["labels"].items()]
        labels.append(f"alertname={rule['alert']}")
        heard = run("amtool", "config", "routes", "test", f"--config.file={path}", *labels)
        assert heard.strip() == ("streamrnn-retrain" if rule["labels"].get("action") == "retrain" else "default")

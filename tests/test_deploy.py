"""The files under deploy/ name only what exists: metrics, labels, options, flags, routes, volumes."""

import io
import re
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.generate.__main__ import files
from streamrnn import metrics
from streamrnn.cli import build_parser
from streamrnn.config import load_settings, options
from streamrnn.config.loading import SECRETS_DIR
from streamrnn.http.retrain import retrain_routes
from streamrnn.metrics.declared import LATENCY_S

ROOT = Path(__file__).parent.parent
TEMPLATES = ROOT / "deploy/helm/streamrnn/templates"
FILES = [path for path in sorted((ROOT / "deploy").rglob("*.yaml")) if path.parent != TEMPLATES]
WRITTEN = {".yaml", ".tpl", ".txt", ".toml", ".service", ".json", ".conf"}
TEXTS = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.suffix in WRITTEN]
OF_THE_CHART = {"retrain.enabled", "snapshots.persistence", "retrain.args"}
"""Values of the chart that are called like options of a section."""
DECLARED = {name: labels for name, _, labels, _ in metrics.DECLARED + metrics.OF_WORKERS}
VARIABLES = {option.variable for option in options()}
OF_PROMETHEUS = {"job", "instance"}
OF_SUPERVISORS = {"worker"}
"""On what a worker counts beside others; absent where there is one."""
OURS = re.compile(r"(?<![:\w])streamrnn_\w+")
RECORDED = re.compile(r"\b([a-z_]+):(streamrnn_\w+):\w+")
"""What a rule records: its labels, what it was made of."""
OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def labels_of(name: str) -> set[str]:
    """Of a metric, or of a histogram's series, which has a label more; KeyError for what is not declared."""
    if name in DECLARED:
        return set(DECLARED[name])
    family = OF_HISTOGRAM.sub("", name)
    [kind] = [kind for known, kind, _, _ in metrics.DECLARED if known == family] or [""]
    assert kind in ("histogram", ""), f"{name} is no histogram's"
    return {*DECLARED[family], "le"}


def is_declared(name: str) -> bool:
    """Whether a metric, or a series of a histogram, is exposed under this name."""
    try:
        labels_of(name)
    except KeyError:
        return False
    return True


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(io.StringIO(path.read_text(encoding="utf-8"))))


def rules() -> list[Any]:
    found = [document for path in (ROOT / "deploy/prometheus").glob("*-alert.yaml") for document in documents(path)]
    return [rule for document in found for group in document["groups"] for rule in group["rules"]]


def recorded() -> dict[str, str]:
    """What recording.yaml records, and of what."""
    [document] = documents(ROOT / "deploy/prometheus/recording.yaml")
    return {rule["record"]: rule["expr"] for group in document["groups"] for rule in group["rules"]}


def alertmanager() -> Any:
    [document] = documents(ROOT / "deploy/prometheus/alertmanager-retrain.yaml")
    return document


def command(name: str) -> ArgumentParser:
    [commands] = [a for a in build_parser()._actions if isinstance(a, _SubParsersAction)]
    found: ArgumentParser = commands.choices[name]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_every_file_is_yaml(path: Path) -> None:
    assert documents(path)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT / "deploy")))
def test_every_file_names_only_what_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert {name for name in OURS.findall(text) if not is_declared(name)} == set()
    assert {found[0] for found in RECORDED.finditer(text)} <= recorded().keys()
    assert set(re.findall(r"STREAMRNN_[A-Z0-9_]*[A-Z0-9]", text)) <= {*VARIABLES, SECRETS_DIR}
    known = {option.key for option in options()} | OF_THE_CHART
    sections = {option.section for option in options()}
    named = {f"{a}.{b}" for a, b in re.findall(r"(?<![\w./-])([a-z]+)\.([a-z_]+)\b(?![./])", text) if a in sections}
    assert named <= known


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_a_generated_file_is_what_is_generated(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == files()[path], "python -m deploy.generate"


def labels_in(expr: str) -> set[str]:
    """What the series of an expression may be labelled by."""
    of_recorded = {label for found in RECORDED.finditer(expr) for label in found[1].split("_")}
    return {label for name in OURS.findall(expr) for label in labels_of(name)} | of_recorded | OF_PROMETHEUS


@pytest.mark.parametrize("expr", [*recorded().values(), *(rule["expr"] for rule in rules())])
def test_rules_use_labels_that_the_metrics_have(expr: str) -> None:
    assert OURS.search(expr) or RECORDED.search(expr)
    for name, matchers in re.findall(r"(streamrnn_\w+)\{([^}]*)\}", expr):
        assert set(re.findall(r"(\w+)\s*[!=]", matchers)) <= {*labels_of(name), *OF_PROMETHEUS}
    for bound in re.findall(r'le="([^"]+)"', expr):
        assert bound in [repr(float(known)) for known in LATENCY_S], "no bucket ends there"
    for grouped in re.findall(r"(?:by|on) \(([^)]*)\)", expr):
        assert set(grouped.split(", ")) <= labels_in(expr) | OF_SUPERVISORS


def test_what_alerts_say_of_themselves_they_know() -> None:
    for rule in rules():
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert shown <= labels_in(rule["expr"]) | OF_SUPERVISORS
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_a_recorded_rules_name_says_its_labels_and_its_metric() -> None:
    for name, expr in recorded().items():
        labels, _, _ = name.split(":")
        grouped = re.findall(r"by \(([^)]*)\)", expr)
        assert {", ".join(labels.split("_"))} == {by.replace(", le", "") for by in grouped}


def test_no_rule_looks_back_farther_than_prometheus_keeps_by_itself() -> None:
    units = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
    for expr in (*recorded().values(), *(rule["expr"] for rule in rules())):
        back = sum(int(n) * units[unit] for n, unit in re.findall(r"\b(\d+)([mhdw])\b", expr.split(" and ")[0]))
        assert back < 15 * 86400


def test_the_alert_compares_the_model_with_persistence_for_long_and_is_routed_to_the_daemon() -> None:
    [worse] = [rule for rule in rules() if rule["labels"].get("action") == "retrain"]
    for who in ("model", "persistence"):
        assert f'streamrnn_rolling_mse{{model="{who}"}}' in worse["expr"]
    assert worse["for"].endswith("h")
    [route] = [r for r in alertmanager()["route"]["routes"] if r["matchers"] == ['action="retrain"']]
    [receiver] = [r for r in alertmanager()["receivers"] if r["name"] == route["receiver"]]
    [webhook] = receiver["webhook_configs"]
    assert webhook["http_config"]["authorization"]["type"] == "Bearer"
    host, _, path = webhook["url"].removeprefix("http://").partition("/")
    assert host.endswith(f":{load_settings().http.port}")
    [retrain] = retrain_routes(None, "x")  # type: ignore[arg-type]
    assert retrain.path == f"/{path}"
    assert "POST" in (retrain.methods or ())

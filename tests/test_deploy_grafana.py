"""The dashboard is what is generated, Grafana can read it, and every query is PromQL on metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.generate.dashboard import dashboard
from deploy.generate.left_over import rest
from deploy.generate.panels import metrics_of
from deploy.generate.queries import GOOD_WITHIN_S
from deploy.generate.rows import ROWS
from streamrnn.metrics.declared import LATENCY_S
from tests.test_deploy import DECLARED, OF_PROMETHEUS, OF_SUPERVISORS, OURS, is_declared, labels_of, recorded

PANELS = [panel for row in ROWS for panel in row.panels]
UNITS = {"s", "short", "ops", "Bps", "bytes", "percentunit"}
"""Grafana's names; another may be right too, and is to be looked up before it comes in here."""
WHOLE = {"type": "integer", "minimum": 0}
SOURCE = {"const": {"type": "prometheus", "uid": "${datasource}"}}
TARGET = {
    "type": "object",
    "required": ["refId", "datasource", "expr", "legendFormat", "format", "instant", "range"],
    "properties": {
        "refId": {"pattern": "^[A-H]$"},
        "datasource": SOURCE,
        "expr": {"type": "string", "minLength": 1},
        "format": {"enum": ["time_series", "heatmap", "table"]},
    },
}
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {"enum": ["row", "stat", "timeseries", "heatmap", "state-timeline", "table"]},
        "title": {"type": "string", "minLength": 1},
        "gridPos": {
            "type": "object",
            "required": ["h", "w", "x", "y"],
            "properties": {"h": WHOLE, "w": {"type": "integer", "maximum": 24}, "x": WHOLE, "y": WHOLE},
        },
        "targets": {"type": "array", "minItems": 1, "items": TARGET},
        "panels": {"type": "array", "items": {"$ref": "#/$defs/panel"}},
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "then": {"required": ["collapsed", "panels"]},
    "else": {"required": ["description", "datasource", "targets", "fieldConfig", "options"]},
}
SCHEMA = {
    "$defs": {"panel": PANEL},
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "refresh", "time", "templating", "annotations", "panels"],
    "properties": {
        "uid": {"pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "panels": {"type": "array", "items": {"$ref": "#/$defs/panel"}},
    },
}


def drawn() -> Iterator[dict[str, Any]]:
    """Every panel that is no row's heading."""
    for panel in dashboard()["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def queries() -> list[str]:
    shown = [target["expr"] for panel in drawn() for target in panel["targets"]]
    listed = [of["query"]["query"] for of in dashboard()["templating"]["list"] if of["type"] == "query"]
    return shown + [mark["expr"] for mark in dashboard()["annotations"]["list"]] + listed


def test_grafana_can_read_it() -> None:
    jsonschema.validate(json.loads(json.dumps(dashboard())), SCHEMA)
    everything = [
        *dashboard()["panels"],
        *(panel for row in dashboard()["panels"] for panel in row.get("panels", ())),
    ]
    ids = [panel["id"] for panel in everything]
    assert len(ids) == len(set(ids))
    for panel in drawn():
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters))


def test_a_metric_that_no_row_asks_for_has_a_panel_all_the_same() -> None:
    [row] = rest(ROWS[:1])
    shown = {name for panel in (*ROWS[0].panels, *row.panels) for name in metrics_of(panel)}
    assert shown == DECLARED.keys()
    assert rest(ROWS) == []


def test_no_two_panels_lie_on_each_other() -> None:
    cells = [
        (folded, x, y)
        for folded, panels in enumerate(
            [dashboard()["panels"], *(p.get("panels", ()) for p in dashboard()["panels"])]
        )
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for _, x, _ in cells) < 24


def test_every_metric_is_on_it_and_says_what_it_means() -> None:
    shown = {name for panel in PANELS for name in metrics_of(panel)}
    assert shown == DECLARED.keys()
    for panel in PANELS:
        assert metrics_of(panel)
        assert panel.unit in UNITS
    assert all(panel["description"] for panel in drawn())


@pytest.mark.parametrize("expr", queries())
def test_a_query_names_metrics_and_labels_that_exist(expr: str) -> None:
    names = OURS.findall(expr)
    assert names
    assert [name for name in names if not is_declared(name)] == []
    known = {label for name in names for label in labels_of(name)} | OF_PROMETHEUS | OF_SUPERVISORS
    for name, matchers in re.findall(r"(streamrnn_\w+)\{([^}]*)\}", expr):
        assert set(re.findall(r"(\w+)\s*(?:=|!=|=~)\"", matchers)) <= {*labels_of(name), *OF_PROMETHEUS}
    for grouped in re.findall(r"(?:by|on) \(([^)]+)\)", expr):
        assert set(grouped.split(", ")) <= known


def test_a_legend_names_labels_that_its_query_leaves() -> None:
    for panel in PANELS:
        for expr, legend in panel.queries:
            left = {label for by in re.findall(r"by \(([^)]*)\)", expr) for label in by.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= left


def test_what_counts_as_slow_is_a_bucket_and_the_rules_own() -> None:
    assert GOOD_WITHIN_S in LATENCY_S
    slow = [expr for name, expr in recorded().items() if "slow_ticks" in name]
    assert len(slow) == 4
    assert all(f'le="{GOOD_WITHIN_S}"' in expr for expr in slow)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the path (Prometheus)")
def test_every_query_is_promql(tmp_path: Path) -> None:
    found = [re.sub(r"^label_values\((.*), \w+\)$", r"\1", expr) for expr in queries()]
    found = [expr.replace("$__rate_interval", "1m") for expr in found]
    rules = [{"record": f"of:the:{number}", "expr": expr} for number, expr in enumerate(found)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr

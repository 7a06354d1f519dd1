"""The dashboard of a daemon or of many, as Grafana imports it. Knows no panel: rows.py has them."""

from deploy.generate.panels import SOURCE, Json, laid_out
from deploy.generate.queries import HERE
from deploy.generate.rows import ROWS


def variable(name: str, label: str, of: str) -> Json:
    """One to choose several values of, all of them at first."""
    query = f"label_values({of}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 3,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def variables() -> list[Json]:
    """The data source, then whose series are shown, each list shorter for what was chosen before."""
    source = {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus", "refresh": 1}
    return [
        source,
        variable("job", "Group", "streamrnn_ticks_total"),
        variable("instance", "Instance", 'streamrnn_ticks_total{job=~"$job"}'),
        variable("target", "Target", f"streamrnn_truths_total{{{HERE}}}"),
        variable("horizon", "Ahead", f"streamrnn_truths_total{{{HERE}}}"),
    ]


def marks() -> list[Json]:
    """What changes a picture and is no fault, shown where it is asked for: a new model version, an assignment."""
    model = f"count by (model) (streamrnn_model_info{{{HERE}}}) unless count by (model) "
    model += f"(streamrnn_model_info{{{HERE}}} offset 1m)"
    assigned = f"sum by (instance) (changes(streamrnn_rebalances_total{{{HERE}}}[1m])) > 0"
    return [
        _mark("Model versions", "purple", model, "{{model}} serves"),
        _mark("Assignments", "blue", assigned, "{{instance}} took an assignment"),
    ]


def _mark(name: str, colour: str, expr: str, title: str) -> Json:
    shown: Json = {"name": name, "datasource": SOURCE, "enable": False, "iconColor": colour}
    return shown | {"expr": expr, "titleFormat": title, "step": "60s"}


def dashboard() -> Json:
    """The whole, for Grafana's import, its file provisioning or its API."""
    return {
        "uid": "streamrnn",
        "title": "streamrnn",
        "description": "Daemons that keep a recurrent network's state for every stream of a Kafka topic.",
        "tags": ["streamrnn", "kafka"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "templating": {"list": variables()},
        "annotations": {"list": marks()},
        "links": [],
        "panels": laid_out(ROWS),
    }

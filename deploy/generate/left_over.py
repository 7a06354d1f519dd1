"""Panels for metrics that no row asks for: a new one is on the dashboard as soon as it is declared."""

from collections.abc import Sequence

from deploy.generate.panels import Panel, Query, Row, metrics_of
from deploy.generate.queries import each, gauge, quantile, rate
from streamrnn.metrics import DECLARED, OF_WORKERS

SUFFIXES = {"_seconds": "s", "_bytes": "bytes", "_ratio": "percentunit"}
"""Of base units, and Grafana's names for these."""


def rest(rows: Sequence[Row]) -> list[Row]:
    """A folded row of what the others leave out, or none."""
    shown = {name for row in rows for panel in row.panels for name in metrics_of(panel)}
    left = [declared for declared in DECLARED + OF_WORKERS if declared.name not in shown]
    panels = tuple(_panel(declared.name, declared.type, ", ".join(declared.labels)) for declared in left)
    return [Row("Others", panels, folded=True)] if panels else []


def _panel(metric: str, kind: str, labels: str) -> Panel:
    name = metric.removeprefix("streamrnn_")
    title = name.removesuffix("_total").replace("_", " ").capitalize()
    unit = next((unit for suffix, unit in SUFFIXES.items() if name.endswith(suffix)), "short")
    if kind == "histogram":
        return Panel(f"{title}, p99", unit, [Query(quantile(0.99, name, labels))])
    if kind == "counter":
        return Panel(f"{title} a second", "ops", each("rate", name, labels) if labels else [Query(rate(name))])
    return Panel(title, unit, each("max", name, labels) if labels else [Query(gauge("max", name))])

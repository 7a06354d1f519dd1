"""Panels of a Grafana dashboard as JSON that Grafana takes: their queries, units, colours and places on the grid.

What a panel says of itself is what its metrics are declared to be. Knows no panel of ours.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from streamrnn.metrics import DECLARED, OF_WORKERS

Json = dict[str, Any]
Kind = Literal["stat", "timeseries", "heatmap", "state-timeline", "table"]
HELP = {declared.name: declared.help for declared in DECLARED + OF_WORKERS}
OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
"""Of Grafana's grid."""


class Query(NamedTuple):
    """An expression in PromQL, and what its series are called."""

    expr: str
    legend: str = ""


class Panel(NamedTuple):
    """One panel: what it shows, in which unit (Grafana's name), and where the colour changes (value to colour)."""

    title: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    note: str = ""
    steps: tuple[tuple[float, str], ...] = ()
    width: int = 8
    height: int = 7
    stacked: bool = False
    log: bool = False
    most: float | None = None
    words: tuple[tuple[str, str, str], ...] = ()
    """Of values: value, text, colour."""


class Row(NamedTuple):
    """Panels under a heading, folded where `folded`."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


def metrics_of(panel: Panel) -> list[str]:
    """The declared metrics that a panel asks for, each once."""
    named = re.findall(r"\bstreamrnn_\w+", " ".join(query.expr for query in panel.queries))
    return list(dict.fromkeys(name if name in HELP else OF_HISTOGRAM.sub("", name) for name in named))


def description(panel: Panel) -> str:
    """The meaning of each metric as it is declared, then what else is to be said."""
    told = [f"`{name}`: {HELP[name]}" for name in metrics_of(panel)]
    return "\n\n".join([*filter(None, [panel.note]), *told])


def laid_out(rows: Iterable[Row]) -> list[Json]:
    """All rows one below the other, panels from left to right."""
    made: list[Json] = []
    y = 0
    for row in rows:
        heading: Json = {"type": "row", "title": row.title, "collapsed": row.folded, "panels": []}
        made.append(heading | {"id": len(made) + 1, "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}})
        first = 100 * len(made) if row.folded else len(made) + 1
        panels, y = _placed(row.panels, y + 1, first)
        if row.folded:
            made[-1]["panels"] = panels
        else:
            made += panels
    return made


def _placed(panels: Sequence[Panel], y: int, first_id: int) -> tuple[list[Json], int]:
    made: list[Json] = []
    x = tallest = 0
    for number, panel in enumerate(panels):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
        made.append(_panel(panel) | {"id": first_id + number, "gridPos": place})
        x, tallest = x + panel.width, max(tallest, panel.height)
    return made, y + tallest


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": description(panel),
        "datasource": SOURCE,
        "targets": [_target(panel, query, chr(ord("A") + n)) for n, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        **({"transformations": _merged(panel)} if panel.kind == "table" else {}),
    }


def _target(panel: Panel, query: Query, letter: str) -> Json:
    once = panel.kind == "table"
    target: Json = {"refId": letter, "datasource": SOURCE, "editorMode": "code", "expr": query.expr}
    target["legendFormat"] = query.legend or "__auto"
    form = {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series")
    return target | {"format": form, "instant": once, "range": not once}


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "green" if panel.steps else "text", "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.steps]
    found: Json = {"unit": panel.unit, "mappings": _mapped(panel)}
    found["thresholds"] = {"mode": "absolute", "steps": steps}
    found |= {} if panel.log or panel.kind != "timeseries" else {"min": 0}
    found |= {} if panel.most is None else {"max": panel.most}
    if panel.kind == "timeseries":
        found["custom"] = _drawing(panel)
    if panel.kind == "state-timeline":
        found["custom"] = {"lineWidth": 0, "fillOpacity": 80}
    return found


def _mapped(panel: Panel) -> list[Json]:
    words = enumerate(panel.words)
    texts = {value: {"text": text, "color": colour, "index": n} for n, (value, text, colour) in words}
    return [{"type": "value", "options": texts}] if texts else []


def _drawing(panel: Panel) -> Json:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if panel.stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "scaleDistribution": {"type": "log", "log": 10} if panel.log else {"type": "linear"},
        "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
    }


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        named = any(query.legend for query in panel.queries)
        mode = "name" if named else "value"
        return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "area", "textMode": mode}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"scheme": "Turbo", "mode": "scheme"}}
    if panel.kind == "state-timeline":
        return {"mergeValues": True, "showValue": "never", "rowHeight": 0.9}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"], "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _merged(panel: Panel) -> list[Json]:
    """One row for each set of labels, a column for each query, called as its legend is."""
    columns = {f"Value #{chr(ord('A') + n)}": query.legend for n, query in enumerate(panel.queries)}
    shown = {"excludeByName": {"Time": True}, "renameByName": columns}
    return [{"id": "merge", "options": {}}, {"id": "organize", "options": shown}]

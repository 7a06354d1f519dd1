"""The chart's generated parts: the schema of its values, and its manifests rendered for who wants no Helm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.generate.panels import Json
from streamrnn.config import Settings

CHART = Path(__file__).parent.parent / "helm" / "streamrnn"
FREE = ("resources", "retrain.resources", "podSecurityContext", "securityContext", "affinity", "nodeSelector")
FREE += ("probes.startup", "probes.live", "probes.ready", "dashboard.labels")
"""Values that Kubernetes gives their form, not we."""
BOUNDS: dict[str, Json] = {
    "autoscaling.minReplicas": {"minimum": 1},
    "autoscaling.cpuPercent": {"minimum": 1},
    "autoscaling.lagSeconds": {"minimum": 1},
    "retrain.promote": {"enum": ["never", "if-better", "always"]},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "retrain.threads": {"minimum": 1},
}
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")
"""Labels that say who has put an object there."""


def values() -> Json:
    """The chart's defaults."""
    found: Json = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return found


def values_schema() -> Json:
    """Every value by the type of its default, the settings by their own declaration; no other names."""
    schema = _schema_of("", values())
    schema["properties"] |= {"settings": settings_schema(), "global": {"type": "object"}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of streamrnn"} | schema


def _schema_of(path: str, value: Any) -> Json:
    if isinstance(value, dict) and value and path not in FREE:
        below = {name: _schema_of(f"{path}.{name}".lstrip("."), each) for name, each in value.items()}
        return {"type": "object", "additionalProperties": False, "properties": below}
    kinds = {dict: "object", list: "array", bool: "boolean", int: "integer", str: "string"}
    found: Json = {"type": kinds[type(value)]}
    return found | ({"minimum": 0} if type(value) is int else {}) | BOUNDS.get(path, {})


def settings_schema() -> Json:
    """The tables of streamrnn.toml; null unsets an option. Secrets have no place in values."""
    whole = Settings.model_json_schema()
    tables = {name: _resolved(table, whole["$defs"]) for name, table in whole["properties"].items()}
    return {"type": "object", "additionalProperties": False, "properties": dict(sorted(tables.items()))}


def _resolved(schema: Json, known: Json) -> Json:
    """A table without references, titles, defaults and secrets."""
    table = known[schema["$ref"].split("/")[-1]]
    options = {name: _option(each, known) for name, each in table["properties"].items() if not _is_secret(each)}
    return {"type": ["object", "null"], "additionalProperties": False, "properties": options}


def _option(option: Json, known: Json) -> Json:
    if "$ref" in option:
        option = {**known[option["$ref"].split("/")[-1]], **option}
    kinds = [each for each in option.get("anyOf", [option]) if each.get("type") != "null"]
    [kind] = kinds
    kept = {name: kind[name] for name in KEPT if name in kind}
    kept["type"] = [kept["type"], "null"]
    if "enum" in kept:
        kept["enum"] = [*kept["enum"], None]
    return {"description": option["description"], **kept}


KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def _is_secret(option: Json) -> bool:
    return any(each.get("writeOnly") for each in option.get("anyOf", [option]))


def rendered(given: Json, namespace: str = "default") -> Iterator[Json]:
    """Every object of a release called streamrnn."""
    from helm_python import Chart

    made = Chart.load(str(CHART)).render(given, name="streamrnn", namespace=namespace)
    for name, text in sorted(made.items()):
        if not name.endswith("NOTES.txt"):
            yield from filter(None, yaml.safe_load_all(text))


class Manifest(yaml.SafeDumper):
    """YAML as people write it: texts of several lines stay such, and nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never the same twice by reference."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Manifest.add_representer(str, _text)


def manifests() -> str:
    """The chart as one file for kubectl, with nothing in it that says Helm."""
    folder = CHART.parent.parent / "kubernetes"
    objects = list(rendered(yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))))
    for each in objects:
        for label in OF_HELM:
            each["metadata"]["labels"].pop(label)
        each["metadata"].pop("annotations", None)
    head = "# Rendered from deploy/helm/streamrnn with values.yaml: python -m deploy.generate\n"
    return head + yaml.dump_all(objects, Dumper=Manifest, sort_keys=False, width=116, explicit_start=True)

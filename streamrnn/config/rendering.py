"""Settings as text: TOML, the commented example, the table of the reference. Secrets are masked."""

import json
from collections.abc import Mapping
from typing import Any

from streamrnn.config.options import options, sections, type_text
from streamrnn.config.sections import Settings


def masked(settings: Settings) -> dict[str, dict[str, Any]]:
    """The effective settings, JSON-ready, with secrets as asterisks."""
    return settings.model_dump(mode="json")


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of plain values as TOML; None is a comment."""
    lines = []
    for section, values in tables.items():
        lines.append(f"[{section}]")
        lines += [f"# {k} is not set" if v is None else f"{k} = {_toml_value(v)}" for k, v in values.items()]
        lines.append("")
    return "\n".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def example_toml() -> str:
    """A file that says what the defaults say, each option explained; unset ones commented out."""
    lines = ["# streamrnn settings. Every value shown is the default.", ""]
    for section, table in sections().items():
        lines += [f"# {table.__doc__}", f"[{section}]"]
        for name, field in table.model_fields.items():
            lines.append(f"# {field.description} ({type_text(field.annotation)})")
            lines.append(f"# {name} =" if field.default is None else f"{name} = {_toml_value(field.default)}")
        lines.append("")
    return "\n".join(lines)


def markdown_table() -> str:
    """The settings table of the reference."""
    lines = ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    for option in options():
        kind = option.type_text.replace(" | ", ", ")
        default = f"`{option.default_text}`" if option.default_text else ""
        lines.append(f"| `{option.key}` | {kind} | {default} | {option.help} |")
    return "\n".join(lines)

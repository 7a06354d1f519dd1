"""The declared settings as a list of options, for flags, variables and tables."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr

from streamrnn.config.section import Section
from streamrnn.config.sections import PREFIX, Settings


class Option(NamedTuple):
    """One option as the docs show it."""

    section: str
    name: str
    type_text: str
    default_text: str
    help: str
    secret: bool

    @property
    def key(self) -> str:
        """`section.option`, the TOML key and the flag without its dashes."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"{PREFIX}{self.section}__{self.name}".upper()


def sections() -> dict[str, type[Section]]:
    """The tables of the TOML file."""
    return {name: field.annotation for name, field in Settings.model_fields.items()}  # type: ignore[misc]


def options() -> list[Option]:
    """Every option in order of declaration."""
    return list(_options())


def _options() -> Iterator[Option]:
    for section, table in sections().items():
        for name, field in table.model_fields.items():
            default = field.default
            shown = "" if default is None else str(default.value if isinstance(default, StrEnum) else default)
            if isinstance(default, bool):
                shown = shown.lower()
            kind = type_text(field.annotation)
            yield Option(section, name, kind, shown, field.description or "", kind == "secret")


def type_text(annotation: Any) -> str:
    """The type of an option, for people."""
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_args(annotation):
        return type_text(next(a for a in get_args(annotation) if a is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " | ".join(annotation)
    names = {str: "text", int: "integer", float: "number", bool: "true | false", Path: "path", SecretStr: "secret"}
    return names[annotation]

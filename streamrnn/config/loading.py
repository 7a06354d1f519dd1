"""Values from flags, environment, file and defaults, in that order; what is unknown or wrong is refused by name."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from streamrnn.config.options import options, sections
from streamrnn.config.sections import PREFIX, RESERVED, Settings
from streamrnn.errors import ConfigError


def load_settings(config: Path | None = None, overrides: Mapping[str, str] | None = None) -> Settings:
    """Settings from flags (`section.option` to text), environment, TOML file and defaults, in that order.

    ConfigError names every option that is unknown or wrong, and where it stands.
    """
    merged: dict[str, dict[str, Any]] = {}
    for where, table in (
        (str(config), _read_toml(config)),
        ("environment", _read_environment()),
        ("flags", _nest(overrides or {})),
    ):
        for section, values in table.items():
            _refuse(where, section, values)
            merged.setdefault(section, {}).update(values)
    try:
        return Settings(**merged)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _read_toml(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{config}: {error}") from error


def _read_environment() -> dict[str, dict[str, str]]:
    known = {option.variable: option for option in options()}
    nested: dict[str, dict[str, str]] = {}
    for name, value in os.environ.items():
        if not name.upper().startswith(PREFIX) or name.upper().startswith(RESERVED):
            continue
        option = known.get(name.upper())
        if option is None:
            raise ConfigError(f"environment: unknown variable {name}{_nearest(name.upper(), known)}")
        nested.setdefault(option.section, {})[option.name] = value
    return nested


def _nest(flat: Mapping[str, str]) -> dict[str, dict[str, str]]:
    nested: dict[str, dict[str, str]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def _refuse(where: str, section: str, values: Any) -> None:
    """ConfigError for what has no place in the settings, or is no text that UTF-8 could carry."""
    known = sections()
    if section not in known:
        raise ConfigError(f"{where}: unknown section [{section}]{_namesake(section) or _nearest(section, known)}")
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: {section} must be a table: [{section}]")
    fields = known[section].model_fields
    for name, value in values.items():
        if name not in fields:
            raise ConfigError(f"{where}: unknown option {section}.{name}{_nearest_option(section, name)}")
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise ConfigError(f"{where}: {section}.{name} is not UTF-8")


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""


def _namesake(name: str) -> str:
    """The option of that very name, whatever its section."""
    found = [option.key for option in options() if option.name == name]
    return f"; did you mean {found[0]}?" if found else ""


def _nearest_option(section: str, name: str) -> str:
    """The option of that very name in another section, or the nearest one of this."""
    close = difflib.get_close_matches(name, sections()[section].model_fields, n=1, cutoff=0.4)
    return _namesake(name) or (f"; did you mean {section}.{close[0]}?" if close else "")


def _explain(error: ValidationError) -> str:
    """One line per wrong option, without its value: it may be a secret."""
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "settings"
        lines.append(f"{where}: {item['msg']}")
    return "; ".join(lines)

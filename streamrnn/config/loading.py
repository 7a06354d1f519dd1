"""Values from flags, environment, secret files, file and defaults; what is unknown or wrong is refused by name.

pydantic-settings reads each source; which of them goes before which is said here.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    SecretsSettingsSource,
    SettingsError,
    TomlConfigSettingsSource,
)

from streamrnn.config.options import options, sections
from streamrnn.config.sections import PREFIX, RESERVED, Settings
from streamrnn.errors import ConfigError

SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
"""Names a folder of files, each of them named as an option (kafka__sasl_password) and holding its value."""


def load_settings(config: Path | None = None, overrides: Mapping[str, str] | None = None) -> Settings:
    """Settings from flags (`section.option` to text), environment, secret files, TOML file and defaults.

    Each goes before what is named after it.

    ConfigError names every option that is unknown or wrong, and where it stands.
    """
    merged: dict[str, dict[str, Any]] = {}
    for where, tables in _lowest_first(config, overrides or {}):
        for section, values in tables.items():
            _refuse(where, section, values)
            merged.setdefault(section, {}).update(values)
    try:
        return Settings(**merged)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def _lowest_first(config: Path | None, flags: Mapping[str, str]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Where tables of values come from, and the tables: one goes before what is named above it."""
    if config is not None:
        yield str(config), _read_toml(config)
    folder = next((text for name, text in os.environ.items() if name.upper() == SECRETS_DIR), "")
    if folder:
        yield folder, _read_secret_files(folder)
    _refuse_unknown_variables(os.environ)
    yield "environment", EnvSettingsSource(Settings)()
    yield "flags", _nest(flags)


def _read_toml(config: Path) -> dict[str, Any]:
    try:
        if config.is_file():
            return TomlConfigSettingsSource(Settings, config).toml_data
        # pydantic-settings passes over these: a pipe is read, what is absent or a folder says so itself.
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{config}: {error}") from error


def _read_secret_files(folder: str) -> dict[str, Any]:
    if not Path(folder).is_dir():
        raise ConfigError(f"{SECRETS_DIR}: there is no folder {folder}")
    known = {f"{option.section}__{option.name}" for option in options()}
    try:
        source = NestedSecretsSettingsSource(SecretsSettingsSource(Settings), folder, secrets_prefix="")
    except UnicodeDecodeError:
        raise ConfigError(f"{folder}: a file is not UTF-8") from None
    except (OSError, SettingsError) as error:
        raise ConfigError(f"{folder}: {error}") from None
    for name in source.env_vars:
        if name not in known:
            raise ConfigError(f"{folder}: unknown file {name}{_nearest(name, known)}")
    return source()


def _refuse_unknown_variables(names: Iterable[str]) -> None:
    known = {SECRETS_DIR, *(option.variable for option in options())}
    for name in names:
        is_ours = name.upper().startswith(PREFIX) and not name.upper().startswith(RESERVED)
        if is_ours and name.upper() not in known:
            raise ConfigError(f"environment: unknown variable {name}{_nearest(name.upper(), known)}")


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


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
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
        # What a validator of ours says is whole; pydantic puts its own words before it.
        lines.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)

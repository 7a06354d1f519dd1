"""Settings: every option declared once gives its TOML key, environment variable, flag, help and docs.

Precedence: flag, then STREAMRNN_SECTION__OPTION, then the TOML file, then the default. What is unknown is
refused by name. Knows no other layer but errors.
"""

import difflib
import json
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamrnn.errors import ConfigError

PREFIX = "STREAMRNN_"
RESERVED = ("STREAMRNN_TEST_",)
"""Environment variables of our own that are not options."""

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Compression(StrEnum):
    """Codecs of a record batch."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Section(BaseModel):
    """A table of options; immutable, and closed to unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class KafkaSettings(Section):
    """How to reach the brokers and behave in the group."""

    bootstrap: str = Field("127.0.0.1:9092", description="Brokers to ask first, host:port, comma between.")
    group: str = Field("streamrnn", description="Consumer group; workers of one group share the partitions.")
    client_id: str = Field("streamrnn", description="Name shown in the brokers' logs and quotas.")
    group_instance_id: str | None = Field(None, description="Static membership: a name unique to this worker.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="What the listener speaks."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-256", description="How to authenticate over SASL."
    )
    sasl_username: str | None = Field(None, description="User for PLAIN and SCRAM.")
    sasl_password: SecretStr | None = Field(None, description="Password for PLAIN and SCRAM.")
    oauth_token: SecretStr | None = Field(None, description="Bearer token for OAUTHBEARER.")
    oauth_token_file: Path | None = Field(None, description="File with the bearer token, read at each login.")
    ssl_ca: Path | None = Field(None, description="PEM file of the authority to trust; the system's if unset.")
    ssl_cert: Path | None = Field(None, description="PEM file of the client's certificate.")
    ssl_key: Path | None = Field(None, description="PEM file of the client's key.")
    ssl_key_password: SecretStr | None = Field(None, description="Password of the client's key.")
    ssl_check_hostname: bool = Field(True, description="Refuse a certificate made for another host.")
    session_timeout_ms: Positive = Field(45_000, description="Silence after which the group drops a worker.")
    heartbeat_interval_ms: Positive = Field(3_000, description="Pause between heartbeats.")
    rebalance_timeout_ms: Positive = Field(60_000, description="How long the group waits for workers to rejoin.")
    max_poll_interval_ms: Positive = Field(300_000, description="Longest pause between two fetches.")
    request_timeout_ms: Positive = Field(40_000, description="Longest wait for one answer of a broker.")
    acks_idempotent: bool = Field(True, description="Idempotent producer; off for brokers that have none.")


class InputSettings(Section):
    """Where ticks come from and how they are read."""

    topic: str = Field("ticks", description="Topic of the ticks.")
    codec: Literal["json", "msgpack", "float32"] = Field("json", description="Format of a tick's value.")
    stream_field: str | None = Field(None, description="Field that names the stream; the record's key if unset.")
    time_field: str | None = Field("time", description="Field of the event time; the record's timestamp if absent.")
    start: Literal["earliest", "latest"] = Field("earliest", description="Where a group without offsets begins.")
    warmup_ticks: Annotated[int, Field(ge=0)] = Field(
        1000, description="Records of a partition replayed before its committed offset to rebuild state."
    )
    max_poll_records: Positive = Field(4096, description="Most records taken into one batch.")
    max_record_bytes: Positive = Field(1_048_576, description="A larger value goes to the dead letters unread.")
    commit_interval_ms: Annotated[int, Field(ge=0)] = Field(
        200, description="Pause between commits of acknowledged offsets; 0 commits after each batch."
    )


class OutputSettings(Section):
    """Where predictions and dead letters go."""

    topic: str = Field("predictions", description="Topic of the predictions; as many partitions as the input.")
    codec: Literal["json", "msgpack"] = Field("json", description="Format of a prediction's value.")
    dead_letter_topic: str | None = Field(None, description="Topic of refused ticks; <input.topic>.dlq if unset.")
    create_topics: bool = Field(True, description="Create the output and dead-letter topics where absent.")
    replication_factor: Annotated[int, Field(ge=-1)] = Field(
        -1, description="Replicas of created topics; -1 is the broker's default."
    )
    compression: Compression = Field(Compression.NONE, description="Compression of published batches.")
    batch_bytes: Positive = Field(
        1_000_000, description="Most bytes in one batch; stay below the broker's message.max.bytes."
    )


class ModelSettings(Section):
    """Which model serves: `path`, or `name` in `registry`."""

    path: Path | None = Field(None, description="Folder of a model bundle.")
    registry: str | None = Field(None, description="Folder or URL (s3://, gs://) of a model registry.")
    name: str | None = Field(None, description="Model in the registry.")
    version: Positive | None = Field(None, description="Its version; the champion if unset.")

    @field_validator("registry")
    @classmethod
    def _expand(cls, registry: str | None) -> str | None:
        """A folder may begin with ~."""
        return registry if registry is None or "://" in registry else os.path.expanduser(registry)


class EngineSettings(Section):
    """The device and the shape of the work on it."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where state lives and steps run.")
    max_streams: Positive = Field(
        100_000, description="Streams a partition may hold; the least recently used leaves for a new one."
    )
    block: Annotated[int, Field(ge=8, le=65536)] = Field(
        256, description="Rows of every execution on a GPU; part of what fixes the bits of a prediction there."
    )


class LimitSettings(Section):
    """When to stop trusting the input, and how long to take to end."""

    dead_letter_share: Share = Field(0.5, description="Share of dead letters above which fetching pauses.")
    dead_letter_window: Positive = Field(1000, description="Newest records over which the share is taken.")
    breaker_pause_s: Annotated[float, Field(gt=0)] = Field(10.0, description="Length of that pause.")
    shutdown_budget_s: Annotated[float, Field(gt=0)] = Field(
        25.0, description="Longest time from a stop signal to the end."
    )


class HttpSettings(Section):
    """Probes, metrics and state over HTTP."""

    enabled: bool = Field(True, description="Serve HTTP at all.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: Port = Field(9464, description="Port to listen on; 0 takes a free one.")


class RetrainSettings(Section):
    """The retrain job that a daemon starts when it is told to over HTTP; off without a token."""

    token: SecretStr | None = Field(None, description="Bearer token for /retrain; without one it is not there.")
    command: str | None = Field(
        None, description="What to run, words as in a shell; streamrnn retrain with these settings if unset."
    )
    timeout_s: Annotated[float, Field(gt=0)] = Field(21_600.0, description="Longest time a job may take.")
    min_interval_s: Annotated[float, Field(ge=0)] = Field(600.0, description="Least time between two starts.")
    nice: Annotated[int, Field(ge=0, le=19)] = Field(10, description="How far its priority is below the daemon's.")

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        """A header must be able to carry it; an empty one would let everybody in."""
        text = "x" if token is None else token.get_secret_value()
        if not text or text != text.strip() or not (text.isascii() and text.isprintable()):
            raise ValueError("must be printable ASCII, not empty, without spaces around it")
        return token

    @field_validator("command")
    @classmethod
    def _words(cls, command: str | None) -> str | None:
        if command is not None and not shlex.split(command):
            raise ValueError("has no words")
        return command


class LogSettings(Section):
    """Log lines on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level shown.")
    format: Literal["text", "json"] = Field("text", description="Plain lines or one JSON object a line.")


class Settings(BaseSettings):
    """All options of the daemon."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    retrain: RetrainSettings = RetrainSettings()
    log: LogSettings = LogSettings()

    @property
    def dead_letter_topic(self) -> str:
        """The topic of refused ticks."""
        return self.output.dead_letter_topic or f"{self.input.topic}.dlq"

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        topics = [self.input.topic, self.output.topic, self.dead_letter_topic]
        if len(set(topics)) < len(topics):
            raise ValueError(f"input, output and dead-letter topics must differ: {topics}")
        if self.kafka.heartbeat_interval_ms * 3 > self.kafka.session_timeout_ms:
            raise ValueError("kafka.session_timeout_ms must be at least three heartbeat_interval_ms")
        if (self.kafka.ssl_cert is None) != (self.kafka.ssl_key is None):
            raise ValueError("kafka.ssl_cert and kafka.ssl_key belong together")
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """Only what the caller merged: see load_settings, which owns the precedence."""
        return (init_settings,)


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
            kind = _type_text(field.annotation)
            yield Option(section, name, kind, shown, field.description or "", kind == "secret")


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_args(annotation):
        return _type_text(next(a for a in get_args(annotation) if a is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " | ".join(annotation)
    names = {str: "text", int: "integer", float: "number", bool: "true | false", Path: "path", SecretStr: "secret"}
    return names[annotation]


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
    known = {option.variable: option for option in _options()}
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
    found = [option.key for option in _options() if option.name == name]
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
            lines.append(f"# {field.description} ({_type_text(field.annotation)})")
            lines.append(f"# {name} =" if field.default is None else f"{name} = {_toml_value(field.default)}")
        lines.append("")
    return "\n".join(lines)


def markdown_table() -> str:
    """The settings table of the README."""
    lines = ["| option | type | default | meaning |", "| --- | --- | --- | --- |"]
    for option in _options():
        kind = option.type_text.replace(" | ", ", ")
        default = f"`{option.default_text}`" if option.default_text else ""
        lines.append(f"| `{option.key}` | {kind} | {default} | {option.help} |")
    return "\n".join(lines)

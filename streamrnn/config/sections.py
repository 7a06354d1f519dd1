"""Every setting declared once: TOML key, environment variable, flag, default and help come from here.

Knows nothing of where values come from.
"""

import os
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamrnn.config.input import Codec, InputSettings
from streamrnn.config.section import Port, Positive, Seconds, Section, Share, Token

PREFIX = "STREAMRNN_"
RESERVED = ("STREAMRNN_TEST_",)
"""Environment variables of our own that are not options."""


class Compression(StrEnum):
    """Codecs of a record batch."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


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
    metadata_max_age_ms: Positive = Field(60_000, description="Pause between looks for new partitions and leaders.")
    request_timeout_ms: Positive = Field(40_000, description="Longest wait for one answer of a broker.")
    acks_idempotent: bool = Field(True, description="Idempotent producer; off for brokers that have none.")


class OutputSettings(Section):
    """Where predictions and dead letters go."""

    topic: str = Field("predictions", description="Topic of the predictions; as many partitions as the input.")
    codec: Codec = Field(
        "json",
        description="Format of a prediction's value; float32: nothing but its numbers, little-endian, by horizon, "
        "target and quantile.",
    )
    dead_letter_topic: str | None = Field(None, description="Topic of refused ticks; <input.topic>.dlq if unset.")
    create_topics: bool = Field(True, description="Create the output and dead-letter topics where absent.")
    replication_factor: Annotated[int, Field(ge=-1)] = Field(
        -1, description="Replicas of created topics; -1 is the broker's default."
    )
    compression: Compression = Field(Compression.NONE, description="Compression of published batches.")
    batch_bytes: Positive = Field(
        1_000_000, description="Most bytes in one batch; stay below the broker's message.max.bytes."
    )


class DeliverySettings(Section):
    """What is promised of predictions, and at which cost in latency."""

    guarantee: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once", description="Exactly once needs Apache Kafka's transactions and read-committed readers."
    )
    commit_interval_ms: Annotated[int, Field(ge=0)] = Field(
        100,
        description="Pause between commits; exactly once, predictions are seen that much later. 0: each batch.",
    )
    transaction_timeout_ms: Positive = Field(
        10_000, description="After which the broker ends a vanished worker's transaction; its heirs wait for that."
    )
    transactional_id: str | None = Field(
        None, description="Unique to this worker; of the group and kafka.group_instance_id, else random, if unset."
    )


class SnapshotSettings(Section):
    """Where state is kept, so that a restart finds it."""

    url: str | None = Field(
        None, description="Folder or URL (s3://, gs://) of snapshots; unset, state is rebuilt by warm-up alone."
    )
    interval_s: Annotated[float, Field(gt=0)] = Field(30.0, description="Pause between a partition's snapshots.")
    interval_records: Annotated[int, Field(ge=0)] = Field(0, description="Or after so many records; 0: time alone.")
    max_replay: Annotated[int, Field(ge=0)] = Field(10_000_000, description="Most ticks replayed without one.")
    keep: Annotated[int, Field(ge=2)] = Field(2, description="Snapshots kept at or below the committed offset.")
    on_gap: Literal["warmup", "fail"] = Field(
        "warmup", description="When retention has deleted ticks that the state needs: warm up anew, or end."
    )

    @field_validator("url")
    @classmethod
    def _expand(cls, url: str | None) -> str | None:
        """A folder may begin with ~."""
        return url if url is None or "://" in url else os.path.expanduser(url)


class ModelSettings(Section):
    """Which model serves: `path`, or `name` in `registry`."""

    path: Path | None = Field(None, description="Folder of a model bundle.")
    registry: str | None = Field(None, description="Folder or URL (s3://, gs://) of a model registry.")
    name: str | None = Field(None, description="Model in the registry.")
    version: Positive | None = Field(None, description="Its version; the champion if unset.")
    challenger: Positive | None = Field(
        None, description="Version that runs beside it without speaking; the one that was staged if unset."
    )
    poll_s: Seconds = Field(10.0, description="Pause between two looks for a new champion or challenger.")
    switch: Literal["per-partition", "together"] = Field(
        "per-partition", description="Cut each partition over as soon as it is ready, or all of a worker at once."
    )
    warmup: Literal["ticks", "all"] = Field(
        "ticks", description="What a version begins to follow with: the last input.warmup_ticks, or all there are."
    )
    rollback_window_s: Annotated[float, Field(ge=0)] = Field(
        600.0, description="How long the champion before follows, so that a rollback is at once and exact."
    )
    token: Token | None = Field(None, description="Bearer token for /model/reload; without one it is not there.")

    @field_validator("registry")
    @classmethod
    def _expand(cls, registry: str | None) -> str | None:
        """A folder may begin with ~."""
        return registry if registry is None or "://" in registry else os.path.expanduser(registry)


class EngineSettings(Section):
    """The device and the shape of the work on it."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where state lives and steps run.")
    max_streams: Positive = Field(
        100_000, description="Streams a partition holds on the device; the least recently used is parked."
    )
    max_parked: Annotated[int, Field(ge=0)] = Field(
        1_000_000, description="Streams a partition parks in memory; the oldest leave for snapshots or for good."
    )
    idle_after_s: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Park a stream so far behind the partition's newest event time."
    )
    quarantine_after: Positive = Field(
        5, description="Ticks in a row without a finite step after which a stream is quarantined."
    )
    quarantine_retry: Positive = Field(1000, description="One in so many ticks of a quarantined stream is tried.")
    block: Annotated[int, Field(ge=8, le=65536)] = Field(
        256, description="Rows of every execution on a GPU; part of what fixes the bits of a prediction there."
    )


class LimitSettings(Section):
    """When to stop trusting the input, how long to take to end, and what recoveries may take."""

    dead_letter_share: Share = Field(0.5, description="Share of dead letters above which fetching pauses.")
    dead_letter_window: Positive = Field(1000, description="Newest records over which the share is taken.")
    breaker_pause_s: Annotated[float, Field(gt=0)] = Field(10.0, description="Length of that pause.")
    shutdown_budget_s: Annotated[float, Field(gt=0)] = Field(
        25.0, description="Longest time from a stop signal to the end."
    )
    recoveries: Positive = Field(4, description="Partitions whose state is rebuilt at the same time.")
    recovery_stall_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="Longest time without progress before a recovery begins again."
    )
    recovery_total_s: Annotated[float, Field(gt=0)] = Field(
        3600.0, description="Longest time a recovery may take before it begins again."
    )


class HttpSettings(Section):
    """Probes, metrics and state over HTTP."""

    enabled: bool = Field(True, description="Serve HTTP at all.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: Port = Field(9464, description="Port to listen on; 0 takes a free one.")


class ProcessSettings(Section):
    """How many processes one daemon is."""

    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        1, description="Processes that share the partitions, under one supervisor; 0: as many as there are cores."
    )


class RetrainSettings(Section):
    """The retrain job that a daemon starts when it is told to over HTTP; off without a token."""

    token: Token | None = Field(None, description="Bearer token for /retrain; without one it is not there.")
    command: str | None = Field(
        None, description="What to run, words as in a shell; streamrnn retrain with these settings if unset."
    )
    timeout_s: Annotated[float, Field(gt=0)] = Field(21_600.0, description="Longest time a job may take.")
    min_interval_s: Annotated[float, Field(ge=0)] = Field(600.0, description="Least time between two starts.")
    nice: Annotated[int, Field(ge=0, le=19)] = Field(10, description="How far its priority is below the daemon's.")

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
    """All options of the daemon. Made by hand it has what it is given; `load_settings` reads what users set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    input: InputSettings = InputSettings()
    output: OutputSettings = OutputSettings()
    delivery: DeliverySettings = DeliverySettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    process: ProcessSettings = ProcessSettings()
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
        is_exact = self.delivery.guarantee == "exactly_once"
        if is_exact and not self.kafka.acks_idempotent:
            raise ValueError("delivery.guarantee exactly_once needs kafka.acks_idempotent")
        if is_exact and 2 * self.delivery.commit_interval_ms > self.delivery.transaction_timeout_ms:
            raise ValueError("delivery.transaction_timeout_ms must be at least twice commit_interval_ms")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, nothing else: `load_settings` reads the sources, and owns which goes before which."""
        return (init_settings,)

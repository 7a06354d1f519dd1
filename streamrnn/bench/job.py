"""Owns what the bench's parent tells its child processes and what they answer; both travel as JSON lines.

Knows no broker and no torch: children import what they measure, the parent stays light.
"""

from typing import Literal

import msgspec

from streamrnn.config import Settings
from streamrnn.config.input import Codec
from streamrnn.nn.spec import CellKind, Channel, ModelSpec

Contender = Literal["service", "exact", "relay", "loop"]
Metering = Literal["service", "unmetered"]
CatchingUp = Literal["service", "replay"]
CONTENDERS: tuple[Contender, ...] = ("service", "exact", "relay", "loop")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: who, on which broker, how many ticks, how long at most.

    rate 0 is a backlog, as fast as possible; above 0, ticks come at `rate` a second while it runs and
    the latency of each is kept. codec: of ticks and predictions. folder: where snapshots are.
    """

    role: Literal[Contender, "unmetered", "engine", "steps", "write", "restore", "daemon", "scale", "replay"]
    bootstrap: str
    topic: str = "bench"
    idempotent: bool = False
    ticks: int
    limit_s: float
    rate: float = 0.0
    streams: int = 1000
    partitions: int = 4
    cell: CellKind = "gru"
    hidden: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    codec: Codec = "json"
    cells: tuple[CellKind, ...] = ()
    hiddens: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    folder: str = ""
    commit_interval_ms: int = 100
    workers: int = 1

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Who can run: exactly once takes transactions, which the embedded broker has not."""
        return tuple(who for who in CONTENDERS if self.bootstrap or who != "exact")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a contender did in its steady middle; latencies in ms, 0 where there was a backlog.

    late: of a timer of its event loop, which shows how long the loop was at work with something else; own: at most,
    where only the processor time of its thread counts.
    """

    ticks: int
    ticks_per_s: float
    cpu_us_per_tick: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    late_p99_ms: float = 0.0
    late_max_ms: float = 0.0
    late_own_ms: float = 0.0


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's step and the plain one on the same rows, medians in microseconds."""

    cell: CellKind
    hidden: int
    batch: int
    step_us: float
    plain_us: float
    device: str

    @property
    def ticks_per_s(self) -> float:
        """Ticks the engine alone would do in a second."""
        return self.batch / self.step_us * 1e6

    @property
    def speedup(self) -> float:
        """How many times faster than the plain step."""
        return self.plain_us / self.step_us


class StepsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Engine.step in microseconds without and during snapshots; turn: from its submission on, with any wait."""

    streams: int
    batch: int
    snapshots: int
    steps_during: int
    without_p50_us: float
    without_p99_us: float
    during_p50_us: float
    during_p99_us: float
    without_turn_p50_us: float
    without_turn_p99_us: float
    during_turn_p50_us: float
    during_turn_p99_us: float

    @property
    def ratio(self) -> float:
        """How many times longer the slowest hundredth takes during a snapshot."""
        return self.during_p99_us / self.without_p99_us


class WrittenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A full snapshot and one on top of it, of the streams that changed; bytes of files, and of memory at most."""

    streams: int
    row_bytes: int
    full_s: float
    full_bytes: int
    changed: int
    changed_s: float
    changed_bytes: int
    peak_bytes: int


class RestoredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A restart from those two, in a process of its own; bytes of memory before and at most."""

    streams: int
    restore_s: float
    start_bytes: int
    peak_bytes: int


class StepCost(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks in batches of this size, every stream once a turn in random order: microseconds a tick.

    cpu: of the engine's thread, which other processes hardly change.
    """

    batch: int
    p50_us: float
    p99_us: float
    cpu_us: float


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long steps took, in ms."""

    mean_ms: float
    p999_ms: float
    max_ms: float


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of as many new streams each. longest: (streams by then, wall ms, cpu ms) of each stretch's longest."""

    steps: int
    wall: StepTimes
    cpu: StepTimes
    longest: list[tuple[int, float, float]]


class ScaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that has grown to so many streams: how it grew, bytes a stream, and what ticks then cost.

    measured: what the process's memory grew by. Of that, row: state; key: table of keys, names included; slot:
    whose the row is and since when. A tick that can be undone takes a row's bytes more until its commit.
    """

    streams: int
    measured_bytes: float
    row_bytes: float
    key_bytes: float
    slot_bytes: float
    growth: Growth
    costs: list[StepCost]


def make_spec(cell: CellKind, hidden: int) -> ModelSpec:
    """The bench's model: two features in, the next change of one of them out."""
    return ModelSpec(
        name="bench",
        features=("temp", "load"),
        targets=("temp",),
        channels=(Channel("temp"), Channel("load")),
        cell=cell,
        hidden=hidden,
    )


def make_settings(job: Job) -> Settings:
    """Settings with which every contender talks to the broker; what comes out is in the codec of what goes in.

    The embedded broker lets the first member of a group wait for half its session timeout.
    """
    return Settings(
        kafka={
            "bootstrap": job.bootstrap,
            "group": job.topic,
            "acks_idempotent": job.idempotent,
            "session_timeout_ms": 6000,
            "heartbeat_interval_ms": 2000,
        },
        input={"topic": job.topic, "warmup_ticks": job.ticks if job.role == "replay" else 0, "codec": job.codec},
        output={"topic": f"{job.topic}-out", "codec": job.codec},
        delivery={
            "guarantee": "exactly_once" if job.role == "exact" else "at_least_once",
            "commit_interval_ms": job.commit_interval_ms,
        },
        snapshots={"url": job.folder or None, "interval_s": 3600.0},
        engine={"device": job.device},
        http={"enabled": False},
    )

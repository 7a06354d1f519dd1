"""Owns what the bench's parent tells its child processes and what they answer; both travel as JSON lines.

Knows no broker and no torch: children import what they measure, the parent stays light.
"""

from typing import Literal

import msgspec

from streamrnn.config import Settings
from streamrnn.nn.spec import CellKind, Channel, ModelSpec

Contender = Literal["service", "relay", "loop"]
CONTENDERS: tuple[Contender, ...] = ("service", "relay", "loop")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: who, on which broker, how many ticks, how long at most.

    rate 0 is a backlog, as fast as possible; above 0, ticks come at `rate` a second while it runs and
    the latency of each is kept.
    """

    role: Literal["service", "relay", "loop", "engine"]
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
    cells: tuple[CellKind, ...] = ()
    hiddens: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a contender did in its steady middle; latencies in ms, 0 where there was a backlog."""

    ticks: int
    ticks_per_s: float
    cpu_us_per_tick: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0


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
    """Settings with which every contender talks to the broker.

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
        input={"topic": job.topic, "warmup_ticks": 0},
        output={"topic": f"{job.topic}-out"},
        engine={"device": job.device},
        http={"enabled": False},
    )

"""Reports of workers that tests write in the place of daemons."""

import time
from typing import Any

from streamrnn.registry import Compared, Registry, ReportedPartition, WorkerReport

Part = ReportedPartition


def say(registry: Registry, worker: str, *partitions: Part, ago_s: float = 0.0, **fields: Any) -> None:
    """Write what a worker reports so many seconds ago."""
    at_ms = int((time.time() - ago_s) * 1000)
    given = {"group": "g", "topic": "ticks", "serving": "oil@2"} | fields
    registry.write_report("oil", WorkerReport(worker=worker, at_ms=at_ms, partitions=list(partitions), **given))


def part(number: int, state: Any = None, speaker: str = "oil@2", **fields: Any) -> Part:
    return Part(number=number, speaker=speaker, state=state, **fields)


def compared(truths: int, champion: float | None, challenger: float | None, **fields: Any) -> Compared:
    difference = None if champion is None or challenger is None else challenger - champion
    given = {"target": "OT", "horizon": 1, "difference": difference, "error": None, "p": None} | fields
    return Compared(truths=truths, champion_mse=champion, challenger_mse=challenger, **given)

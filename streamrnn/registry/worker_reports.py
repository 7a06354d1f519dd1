"""What workers say of themselves in the registry: one file a worker, rewritten whole.

Owns the form of <name>/workers/<id>.json, how large a report may be, and from when on it is old. A file that is
damaged or another's hides no other: it is passed over, and that is said. Knows nothing of where figures come from.
"""

import re
import time
from typing import Annotated, Literal, NamedTuple

import msgspec

from streamrnn.errors import BundleError
from streamrnn.nn.manifest import refusing
from streamrnn.registry.model_names import checked_name
from streamrnn.stores import Store

WORKERS = "workers"
"""The folder beside the versions; no version."""
LARGEST_WORKER_REPORT_BYTES = 4_000_000
MOST_REPORTS = 1_000
"""Files of workers that are read, in order of their names."""
FRESH_S = 60.0
"""A report that is older comes from a worker that has gone, hangs, or cannot reach the registry."""
LONGEST_REASON = 1_000
"""Characters; what an error says may be as long as what somebody else sent."""
WORKER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")

LineState = Literal["hydrating", "lagging", "ready", "failing"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Champion and challenger on the same truths of one target and horizon.

    difference: the challenger's mean squared error minus the champion's, below 0 where the challenger is better.
    error: the standard error of that. p: the chance of a difference so far below 0 if there were none. None where
    there is no figure yet.
    """

    target: str
    horizon: int
    truths: Count
    champion_mse: float | None
    challenger_mse: float | None
    difference: float | None
    error: float | None
    p: float | None


class ReportedPartition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that a worker owns.

    speaker: label of the model whose predictions are published. state, lag (ticks), left_s and reason are of the
    line beside the speaker's; state is None where there is no such line.
    """

    number: Count
    speaker: str
    state: LineState | None = None
    lag: int = 0
    left_s: float | None = None
    reason: str = ""


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """All that a worker says: what it wants to serve, what it refused and why, its partitions, the comparison.

    serving and challenger are labels, NAME@VERSION. share_better: of all streams, those whose error is smaller with
    the challenger. since_ms: since when the two are compared.
    """

    worker: str
    group: str
    topic: str
    at_ms: Count
    serving: str
    challenger: str | None = None
    refused: dict[str, str] = {}
    partitions: list[ReportedPartition] = []
    comparison: list[Compared] = []
    share_better: float | None = None
    since_ms: Count = 0


_REPORT = msgspec.json.Decoder(WorkerReport)


class Heard(NamedTuple):
    """A report, how many seconds ago it was written by its worker's clock, and whether that is lately."""

    report: WorkerReport
    age_s: float
    is_fresh: bool


class HeardOfWorkers(NamedTuple):
    """What workers say, in order of their names, and of each file that was passed over where it is and why."""

    heard: tuple[Heard, ...]
    passed_over: tuple[str, ...]

    @property
    def fresh(self) -> list[WorkerReport]:
        """The reports of workers that wrote lately."""
        return [each.report for each in self.heard if each.is_fresh]


class WorkerReports:
    """The reports of the workers of each model. What fails is a BundleError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, name: str, report: WorkerReport) -> None:
        """Replace what this worker said."""
        with refusing():
            self._store.write(_key(name, report.worker), msgspec.json.encode(_cut(report)))

    def remove(self, name: str, worker: str) -> None:
        """Forget what a worker said; nothing happens where it said nothing."""
        with refusing():
            self._store.delete(_key(name, worker))

    def read(self, name: str, fresh_s: float) -> HeardOfWorkers:
        """Every report that can be read."""
        with refusing():
            files = sorted(self._store.files(f"{checked_name(name)}/{WORKERS}"))
        # A draft is a report that is being written.
        files = [file for file in files if file.endswith(".json") and not file.startswith(".")]
        heard, passed_over = [], []
        for file in files[:MOST_REPORTS]:
            found = self._read(f"{name}/{WORKERS}/{file}", file.removesuffix(".json"), fresh_s)
            if isinstance(found, Heard):
                heard.append(found)
            elif found:
                passed_over.append(found)
        if len(files) > MOST_REPORTS:
            passed_over.append(f"{len(files) - MOST_REPORTS} more files: {MOST_REPORTS} are read")
        return HeardOfWorkers(tuple(heard), tuple(passed_over))

    def _read(self, key: str, worker: str, fresh_s: float) -> Heard | str:
        """One report, or why it is passed over; nothing where its worker has just removed it."""
        place = self._store.place(key)
        try:
            report = _REPORT.decode(self._store.read(key, LARGEST_WORKER_REPORT_BYTES))
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{place}: {error.strerror}"
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return f"{place}: not a worker's report: {error}"
        if report.worker != worker:
            return f"{place}: holds the report of {report.worker}"
        age_s = time.time() - report.at_ms / 1000
        return Heard(report, age_s, abs(age_s) <= fresh_s)  # a clock far ahead says nothing of the present either

    def old(self, name: str, min_age_s: float) -> list[str]:
        """Names of files, reports or not, that nobody has written to for so long."""
        folder = f"{checked_name(name)}/{WORKERS}"
        with refusing():
            return [file for file in sorted(self._store.files(folder)) if self._age_s(folder, file) >= min_age_s]

    def _age_s(self, folder: str, file: str) -> float:
        """Infinitely young where it cannot be asked: its worker has just removed it, perhaps."""
        try:
            return time.time() - self._store.modified_s(f"{folder}/{file}")
        except OSError:
            return float("-inf")

    def clear(self, name: str, file: str) -> None:
        """Delete a file that is old."""
        with refusing():
            self._store.delete(f"{checked_name(name)}/{WORKERS}/{file}")


def _cut(report: WorkerReport) -> WorkerReport:
    """The report, its reasons no longer than they may be."""
    replace = msgspec.structs.replace
    refused = {label: why[:LONGEST_REASON] for label, why in report.refused.items()}
    partitions = [replace(each, reason=each.reason[:LONGEST_REASON]) for each in report.partitions]
    return replace(report, refused=refused, partitions=partitions)


def _key(name: str, worker: str) -> str:
    if not WORKER_ID.fullmatch(worker):
        raise BundleError(
            f"{worker!r} is no worker's name: letters, digits, dots, dashes, not beginning with a dot"
        )
    return f"{checked_name(name)}/{WORKERS}/{worker}.json"

"""What a retrain job was asked for. Knows nothing of how it is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamrnn.retraining.fitting import Effort
from streamrnn.retraining.spec import Wanted
from streamrnn.retraining.verdict import Policy
from streamrnn.tables.description import TableColumns


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for. files: the history, the input topic if empty, bounded by since_ms, until_ms and offsets;
    bundle: a folder to write to instead of the registry."""

    wanted: Wanted
    files: tuple[Path, ...]
    columns: TableColumns
    since_ms: int | None
    until_ms: int | None
    offsets: Mapping[int, tuple[int | None, int | None]]
    shares: tuple[float, float, float]
    split_each: bool
    effort: Effort
    policy: Policy
    margin: float
    max_worse_streams: float
    season: int | None
    ridge_lags: int
    bundle: Path | None
    has_bar: bool

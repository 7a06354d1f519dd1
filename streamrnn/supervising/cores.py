"""Owns how many cores there are for this process, and how libraries' threads are shared out among workers."""

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: microseconds of processor time in each period, and the period; `max` where there is no limit."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def cores(quota: Path = QUOTA) -> int:
    """The cores that this process may run on, and a container's share of them, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        spent_us, period_us = quota.read_text().split()
        allowed = min(allowed, math.ceil(int(spent_us) / int(period_us)))
    return max(1, allowed)


def worker_count(wanted: int) -> int:
    """How many workers `process.workers` means."""
    return wanted or cores()


def threads_for(workers: int, available: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that give each worker its part of the available cores; what the environment has goes before."""
    share = str(max(1, available // workers))
    return {name: share for name in THREADS if name not in environment}

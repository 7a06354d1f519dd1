"""How much memory is left to the process: of the machine, or of the control group that holds it."""

from pathlib import Path

_NO_LIMIT = 1 << 60


def available_bytes(proc: Path = Path("/proc"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be had before something is swapped or killed; None where the system does not say."""
    found = [left for left in (_of_machine(proc / "meminfo"), _of_group(group)) if left is not None]
    return min(found, default=None)


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _of_group(group: Path) -> int | None:
    """Of cgroup v2, whose limit is the word max where there is none; what files fill can be had again."""
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        if limit == "max" or int(limit) >= _NO_LIMIT:
            return None
        return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None

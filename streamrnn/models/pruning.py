"""Which versions may go. Decides in plain numbers; knows no files."""

from collections.abc import Collection, Iterator

from streamrnn.registry import Registry

ABANDONED_S = 86_400.0
"""Nobody writes to a version for longer than this; what is older and unfinished was left behind.

A worker writes its report again and again; one so old has no worker any more.
"""


def prune(registry: Registry, name: str, keep: int, min_age_s: float) -> Iterator[str]:
    """Delete all but the newest `keep` versions and say each; the pointer is asked anew before every one.

    The champion, the version before it, the challenger, and what is younger than `min_age_s` stay. BundleError,
    with nothing deleted, when a pointer is damaged: nobody knows then what runs.
    """
    for version in superfluous(registry.versions(name), keep):
        if version not in _guarded(registry, name) and registry.age_s(name, version) >= min_age_s:
            registry.delete(name, version)
            yield f"{name}@{version}"
    for entry in registry.unfinished(name):
        if registry.age_s(name, entry) >= max(min_age_s, ABANDONED_S):
            registry.delete(name, entry)
            yield f"{name}/{entry}, which was never finished"
    yield from (f"what a worker last said of {name}: {file}" for file in registry.prune_reports(name, ABANDONED_S))


def superfluous(versions: Collection[int], keep: int) -> list[int]:
    """All but the newest `keep` >= 1 versions, ascending."""
    return sorted(versions)[:-keep]


def _guarded(registry: Registry, name: str) -> set[int]:
    """The champion, what a rollback would go to, and the challenger."""
    pointer, staged = registry.pointer(name), registry.challenger(name)
    beside = set() if staged is None else {staged.version}
    if pointer is None:
        return beside
    there = registry.versions(name)
    earlier = [version for version in pointer.history if version in there and version != pointer.version]
    return {pointer.version, *earlier[-1:]} | beside

"""Snapshots of one model's state on a store: which there are, which is to be trusted, which may go. Knows no rows.

<url>/<app>/<topic>/<partition>/<label>-<fingerprint>/ holds a partition's parts and manifests. Names are never used
twice and files never changed, so any number of workers may write, read and remove here at once: every snapshot
that is whole and of the same fingerprint and beginning is right, whoever wrote it.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from streamrnn.errors import Damaged
from streamrnn.snapshots.chain import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_NAME,
    PART_NAME,
    Chain,
    Identity,
    check_parts,
    offset_of,
    read_chain,
    unseal,
)
from streamrnn.snapshots.cold_rows import ColdRows
from streamrnn.snapshots.draft import PART_BOUNDS, Draft, PartBounds
from streamrnn.snapshots.drawer import Drawer
from streamrnn.snapshots.row_files import Ended, none_ended
from streamrnn.stores import open_store
from streamrnn.ticks import StreamRows

READERS = 2
"""Parts read, checked and decoded at once while the caller uses another: what memory a restore takes."""
LONGEST_NAME = 150


class PassedOver(NamedTuple):
    """A snapshot's name, and why it was not taken."""

    name: str
    reason: str


class FoundSnapshot(NamedTuple):
    """The newest snapshot that can be trusted, if any, and the newer ones that were passed over, newest first."""

    chain: Chain | None
    passed_over: list[PassedOver]


class Shelf:
    """Snapshots of all partitions of a topic under one model.

    keep: how many snapshots at or below the committed offset `prune` spares. has_ended: see ColdRows. bounds: of
    the parts it writes. A failure is an OSError that names the place; ConfigError for a URL that cannot be served.
    """

    def __init__(
        self,
        url: str | Path,
        app: str,
        topic: str,
        label: str,
        fingerprint: str,
        columns: str,
        device: str,
        keep: int = 2,
        has_ended: Ended = none_ended,
        bounds: PartBounds = PART_BOUNDS,
    ) -> None:
        self._store = open_store(url, seal="manifest")
        self._above, self._model = f"{_name(app)}/{_name(topic)}", f"{_name(label)}-{_name(fingerprint[:16])}"
        self._told = Identity(label, fingerprint, columns, device, -1)
        self._keep, self._has_ended, self._bounds = keep, has_ended, bounds
        self._damaged: dict[str, str] = {}

    def place(self, partition: int) -> str:
        """Where a partition's snapshots are, for people."""
        return self._drawer(partition).place()

    def _drawer(self, partition: int) -> Drawer:
        return Drawer(self._store, f"{self._above}/{partition}/{self._model}")

    def _identity(self, partition: int) -> Identity:
        return self._told._replace(partition=partition)

    def cold(self, partition: int) -> ColdRows:
        """A cold tier over a partition's parts, which holds nothing yet."""
        return ColdRows(self._drawer(partition), has_ended=self._has_ended)

    def draft(
        self,
        partition: int,
        since: int,
        offset: int,
        base: Chain | None = None,
        cold: ColdRows | None = None,
        born: str = "",
    ) -> Draft:
        """Begin a snapshot, full or on top of `base`; ValueError where the base or `cold` is of another state."""
        if base is not None and (base.partition, base.since, base.born) != (partition, since, born):
            raise ValueError(f"a snapshot of partition {partition} since {since} on top of {base.name}")
        if base is not None and base.offset > offset:
            raise ValueError(f"a snapshot at {offset} on top of one at {base.offset}")
        if cold is not None and cold.parts and cold.since != since:
            raise ValueError(f"a cold tier of rows since {cold.since} for a snapshot since {since}: clear it")
        if base is not None and cold is not None and cold.parts != base.parts:
            raise ValueError(f"the cold tier is not of {base.name}")
        drawer, identity = self._drawer(partition), self._identity(partition)
        return Draft(drawer, identity, since, offset, base, cold, born, self._has_ended, self._bounds)

    def find(
        self, partition: int, at_most: int, since: int | None = None, born: str | None = None
    ) -> FoundSnapshot:
        """The newest snapshot at or below an offset that is whole, of this state, and of this beginning if given.

        `born` may be how the token begins.

        Parts are looked for here and checked by `load`; one whose `load` found damage is passed over from then on,
        so a caller whose load fails drops what it loaded and asks again.
        """
        drawer, passed_over = self._drawer(partition), list[PassedOver]()
        sizes = drawer.files()
        for name in _manifests(sizes):
            try:
                if offset_of(name) > at_most:
                    raise Damaged(f"newer than the committed offset {at_most}")
                chain = self._read(drawer, partition, name, sizes)
                if since is not None and chain.since != since:
                    raise Damaged(f"of the ticks since {chain.since}, not {since}")
                if born is not None and not chain.born.startswith(born):
                    raise Damaged("of a state that began at the same offset of another topic, or for another group")
                return FoundSnapshot(chain, passed_over)
            except Damaged as error:
                passed_over.append(PassedOver(name, str(error)))
        return FoundSnapshot(None, passed_over)

    def _read(self, drawer: Drawer, partition: int, name: str, sizes: dict[str, int]) -> Chain:
        """The snapshot of this name; Damaged says why it is none."""
        chain = read_chain(name, drawer.read(name, LARGEST_MANIFEST_BYTES), self._identity(partition))
        if chain.sha256 in self._damaged:
            raise Damaged(self._damaged[chain.sha256])
        check_parts(chain.parts, sizes)
        return chain

    def load(self, chain: Chain, cold: ColdRows | None = None) -> Generator[StreamRows, None, None]:
        """Yield a snapshot's rows, part by part, oldest first. A stream's later row overrides its earlier one.

        Each part is checked before it is yielded; `cold` is cleared and notes each. Damaged where a part is not
        what the manifest says. The caller then drops what was yielded and calls `find` again, which passes this
        snapshot over.
        """
        if cold is not None:
            turn = cold.clear(chain.since)
        drawer, waiting = self._drawer(chain.partition), deque(chain.parts)
        with ThreadPoolExecutor(READERS, "snapshot") as readers:
            reading: deque[Future[StreamRows]] = deque()
            try:
                for part in chain.parts:
                    while waiting and len(reading) <= READERS:
                        reading.append(readers.submit(drawer.read_part, waiting.popleft()))
                    rows = reading.popleft().result()
                    if cold is not None:
                        cold.note(part, cold.hashes(rows.streams), turn)
                    yield rows
                if cold is not None:
                    cold.settle()
            except Damaged as error:
                self._damaged[chain.sha256] = str(error)
                raise

    def prune(self, partition: int, committed: int, since: int | None = None, born: str | None = None) -> int:
        """Remove what no restore at or above `committed` needs; how many files went.

        The newest `keep` whole snapshots at or below `committed`, of this beginning if given, stay with all their
        parts. Nothing at or above the oldest of them is removed: so another worker's snapshots and drafts are safe
        even if this worker lost the partition long ago. With fewer than `keep` nothing is removed.
        """
        drawer = self._drawer(partition)
        sizes = drawer.files()
        oldest = self._oldest_kept(
            drawer,
            partition,
            sizes,
            lambda chain: chain.offset <= committed and since in (None, chain.since) and born in (None, chain.born),
        )
        removed = drawer.clear_stale()
        if oldest is None:
            return removed
        names = _manifests(sizes)
        goes = [name for name in names if offset_of(name) < oldest]
        needed = _needed(drawer, names[: len(names) - len(goes)])
        if needed is not None:
            parts = [name for name in sizes if PART_NAME.fullmatch(name) and offset_of(name) < oldest]
            goes += [name for name in parts if name not in needed]
        drawer.delete(goes)
        return removed + len(goes)

    def _oldest_kept(
        self, drawer: Drawer, partition: int, sizes: dict[str, int], is_wanted: Callable[[Chain], bool]
    ) -> int | None:
        """The offset of the oldest of `keep` whole snapshots that are wanted; None if they are fewer."""
        found = 0
        for name in _manifests(sizes):
            with suppress(Damaged):
                found += is_wanted(self._read(drawer, partition, name, sizes))
            if found == self._keep:
                return offset_of(name)
        return None


def _needed(drawer: Drawer, manifests: list[str]) -> set[str] | None:
    """The parts that these name; None where one cannot be read, torn or of another version: it may name any."""
    needed = set[str]()
    for name in manifests:
        try:
            needed.update(part.name for part in unseal(drawer.read(name, LARGEST_MANIFEST_BYTES))[0].parts)
        except Damaged:
            return None
    return needed


def _manifests(names: dict[str, int]) -> list[str]:
    """Names of manifests among these files, the newest first."""
    return sorted((name for name in names if MANIFEST_NAME.fullmatch(name)), reverse=True)


def _name(text: str) -> str:
    """A text as one path part; a long one by its beginning and a checksum."""
    name = quote(text, safe="@") or "%"
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 17]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return name

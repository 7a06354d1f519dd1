"""State of streams kept in a folder or object store: rows at an offset, immutable and checksummed.

Knows rows and keys, not what they mean, and neither torch nor Kafka. All calls wait for the store: they belong in
threads. A store that fails raises an OSError that names the place; what is there and wrong, Damaged.
"""

from streamrnn.snapshots.chain import Chain, SnapshotPart
from streamrnn.snapshots.cold_rows import ColdRows
from streamrnn.snapshots.draft import Draft
from streamrnn.snapshots.shelf import FoundSnapshot, PassedOver, Shelf

__all__ = ["Chain", "ColdRows", "Draft", "FoundSnapshot", "PassedOver", "Shelf", "SnapshotPart"]

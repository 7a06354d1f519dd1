"""State of streams kept in a folder or object store: rows at an offset, immutable and checksummed.

Knows rows and keys, not what they mean, and neither torch nor Kafka. All calls wait for the store: they belong in
threads. A store that fails raises an OSError that names the place; what is there and wrong, Damaged.
"""

from streamrnn.snapshots.cold import Cold
from streamrnn.snapshots.damage import Damaged
from streamrnn.snapshots.draft import Draft
from streamrnn.snapshots.manifest import Chain, Part
from streamrnn.snapshots.shelf import Found, PassedOver, Shelf

__all__ = ["Chain", "Cold", "Damaged", "Draft", "Found", "Part", "PassedOver", "Shelf"]

"""What a snapshot says of itself: its manifest, sealed with its own checksum. Knows no store.

Everything has a name of its own for ever: the offset, and eight hex digits of whoever wrote it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from streamrnn.errors import Damaged

FORMAT = 1
LARGEST_MANIFEST_BYTES = 16 * 2**20
LARGEST_PART_BYTES = 2**30
MOST_ROWS = 65_536
"""In one part."""
MOST_NEW_PARTS = 32
"""After a full snapshot, before the next full one is due."""

_PART = r"[0-9]{20}-[0-9a-f]{8}-[0-9]{4,8}\.safetensors"
MANIFEST_NAME, PART_NAME = re.compile(r"([0-9]{20})-[0-9a-f]{8}\.json"), re.compile(_PART)

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class SnapshotPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of rows."""

    name: Annotated[str, msgspec.Meta(pattern=rf"^{_PART}\Z")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    bytes: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_PART_BYTES)]
    streams: Annotated[int, msgspec.Meta(ge=0, le=MOST_ROWS)]


class SnapshotManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """parts: oldest first, later override earlier; the first `base` of them are the last full snapshot's."""

    format: int
    model: str
    fingerprint: str
    partition: Offset
    since: Offset
    born: str
    offset: Offset
    columns: str
    device: str
    base: Offset
    parts: tuple[SnapshotPart, ...]


class _Versioned(msgspec.Struct):
    format: int


class _SealedSnapshot(msgspec.Struct, forbid_unknown_fields=True):
    sha256: str
    snapshot: msgspec.Raw


_SEALED, _VERSIONED = msgspec.json.Decoder(_SealedSnapshot), msgspec.json.Decoder(_Versioned)
_MANIFEST = msgspec.json.Decoder(SnapshotManifest)
"""Made at import, once: msgspec crashes where two threads are the first to decode a type, as those that restore
two partitions are."""


class Identity(NamedTuple):
    """Whose state it is, and in which columns; the device is told, not asked for."""

    model: str
    fingerprint: str
    columns: str
    device: str
    partition: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A snapshot that is there: the state of the streams at `offset`, made of the ticks from `since` on;
    `born` tells states that begin at the same offset of different topics apart.

    name and sha256: its manifest's. parts: oldest first; the first `base` of them are the last full snapshot.
    """

    name: str
    sha256: str
    partition: int
    offset: int
    since: int
    born: str
    device: str
    base: int
    parts: tuple[SnapshotPart, ...]

    @property
    def rows(self) -> int:
        """In all parts; a stream may have one in several."""
        return sum(part.streams for part in self.parts)

    @property
    def base_rows(self) -> int:
        """Those of the last full snapshot."""
        return sum(part.streams for part in self.parts[: self.base])

    @property
    def bytes(self) -> int:
        """Of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def is_due_full(self) -> bool:
        """Whether the next snapshot should be a full one: what is new outweighs the last, or has many parts."""
        return self.rows > 2 * self.base_rows or len(self.parts) - self.base > MOST_NEW_PARTS


def name_manifest(offset: int, token: str) -> str:
    return f"{offset:020d}-{token}.json"


def name_part(offset: int, token: str, number: int) -> str:
    return f"{offset:020d}-{token}-{number:04d}.safetensors"


def offset_of(name: str) -> int:
    """Of a manifest or part, by its name."""
    return int(name[:20])


def seal(manifest: SnapshotManifest) -> tuple[bytes, str]:
    """The bytes of a manifest's file, and its checksum."""
    raw = msgspec.json.encode(manifest)
    digest = hashlib.sha256(raw).hexdigest()
    return msgspec.json.encode(_SealedSnapshot(digest, msgspec.Raw(raw))), digest


def unseal(raw: bytes) -> tuple[SnapshotManifest, str]:
    """The manifest in a file and its checksum; Damaged says what is wrong with it, without the place."""
    try:
        sealed = _SEALED.decode(raw)
        said = bytes(sealed.snapshot)
        if hashlib.sha256(said).hexdigest() != sealed.sha256:
            raise Damaged("its checksum is not that of what it says: corrupt")
        written = _VERSIONED.decode(said).format
        if written != FORMAT:
            raise Damaged(f"format {written}, this version reads {FORMAT}")
        return _MANIFEST.decode(said), sealed.sha256
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Damaged(f"half-written or unreadable: {error}") from error


def read_chain(name: str, raw: bytes, identity: Identity) -> Chain:
    """The snapshot a manifest's file tells of; Damaged says why it is not one of this state."""
    told, digest = unseal(raw)
    if told.partition != identity.partition:
        raise Damaged(f"of partition {told.partition}")
    if told.fingerprint != identity.fingerprint:
        raise Damaged(f"of another model or other settings: fingerprint {told.fingerprint[:16]}")
    if told.columns != identity.columns:
        raise Damaged("of rows with other columns")
    newest = max((offset_of(part.name) for part in told.parts), default=0)
    if told.offset != offset_of(name) or newest > told.offset or told.base > len(told.parts):
        raise Damaged(f"half-written or unreadable: says offset {told.offset}, base {told.base}")
    at = (told.offset, told.since, told.born)
    return Chain(name, digest, told.partition, *at, told.device, told.base, told.parts)


def check_parts(parts: tuple[SnapshotPart, ...], sizes: Mapping[str, int]) -> None:
    """Damaged unless all are among these files, in full length."""
    for part in parts:
        size = sizes.get(part.name)
        if size is None:
            raise Damaged(f"its part {part.name} is missing")
        if size != part.bytes:
            raise Damaged(f"its part {part.name} is truncated: {size} bytes of {part.bytes}")

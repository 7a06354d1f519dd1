"""What stands in a partition of the output and of the dead letters, as arrays: some 40 bytes for each record.

Knows no expectation. Shapes: n records, by the place of their tick (see places.py) and, for one, in log order.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.codecs.headers import read_letter_headers, read_prediction_headers
from streamrnn.ticks import MOST_INDEX, NO_INDEX, Record
from streamrnn.verifying.content import DIGEST_BYTES, UNREADABLE, Content
from streamrnn.verifying.places import MOST_OFFSET, place_of

Places = NDArray[np.int64]
MOST_DIGITS = 18
NO_LABEL = -1


class Foreign(NamedTuple):
    """A record that names no tick of its partition, and why not."""

    at: int
    key: bytes | None
    why: str


class FoundColumns(NamedTuple):
    """source (n,) the ticks' places; at (n,) the records' own offsets; digest (n, 2) of their content, zeros where
    there is none; name (n,) a code of `names`, NO_LABEL without one: a prediction's model, a letter's (model,
    stage, code)."""

    source: Places
    at: Places
    digest: NDArray[np.uint64]
    name: NDArray[np.int32]

    def between(self, start: int, stop: int) -> "FoundColumns":
        """Those of the ticks at offsets start to stop - 1."""
        low, high = np.searchsorted(self.source, (place_of(start), place_of(stop))).tolist()
        return self.rows(slice(low, high))

    def rows(self, which: slice | NDArray[Any]) -> "FoundColumns":
        """Some of them: a slice, flags or indexes."""
        return FoundColumns(self.source[which], self.at[which], self.digest[which], self.name[which])


class FoundRecords:
    """The records of one partition, taken in log order, then sealed."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.foreign: list[Foreign] = []
        self.foreign_count = 0
        self.names: list[tuple[str, ...]] = []
        self._codes: dict[tuple[bytes, ...], int] = {}
        self._chunks: list[FoundColumns] = []

    def __len__(self) -> int:
        return sum(len(chunk.source) for chunk in self._chunks)

    def _code(self, name: tuple[bytes, ...]) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(tuple(part.decode(errors="replace") for part in name))
        return code

    def _add(self, source: Sequence[int], at: Sequence[int], digests: Iterable[bytes], name: Sequence[int]) -> None:
        digest = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, DIGEST_BYTES // 8)
        codes = np.array(name, np.int32)
        self._chunks.append(FoundColumns(np.array(source, np.int64), np.array(at, np.int64), digest, codes))

    def _refuse(self, record: Record, why: str, room: int = 100) -> None:
        self.foreign_count += 1
        if len(self.foreign) < room:
            self.foreign.append(Foreign(record.offset, record.key, why))

    def take(self, records: Sequence[Record]) -> None:
        """Records of the partition, in log order."""
        raise NotImplementedError

    def sealed(self) -> FoundColumns:
        """All that was taken, by source and log position."""
        if not self._chunks:
            none = np.zeros(0, np.int64)
            return FoundColumns(none, none, np.zeros((0, DIGEST_BYTES // 8), np.uint64), none.astype(np.int32))
        source, at, digest, name = zip(*self._chunks, strict=True)
        self._chunks.clear()
        whole = FoundColumns(*map(np.concatenate, (source, at, digest, name)))
        if (np.diff(whole.source) >= 0).all():
            return whole
        order = np.argsort(whole.source, kind="stable")
        return whole.rows(order)


class FoundPredictions(FoundRecords):
    """Predictions; a name is the `model` header."""

    def __init__(self, partition: int, content: Content) -> None:
        super().__init__(partition)
        self._digest = content.digest
        self._own = b"%d" % partition

    def take(self, records: Sequence[Record]) -> None:
        """Records of the output's partition."""
        source, at, digests, name = [], [], [], []
        for record in records:
            said = read_prediction_headers(record.headers)
            place = _place(said.offset, said.element)
            if place is None or said.partition != self._own:
                self._refuse(record, _why(said.partition, said.offset))
                continue
            source.append(place)
            at.append(record.offset)
            digests.append(self._digest(record.key, record.value))
            name.append(NO_LABEL if said.model is None else self._code((said.model,)))
        self._add(source, at, digests, name)


class FoundLetters(FoundRecords):
    """Dead letters of one input topic; a name is model, stage and code. Those of other topics are passed over."""

    def __init__(self, partition: int, topic: str) -> None:
        super().__init__(partition)
        self.of_others = 0
        self._topic, self._own = topic.encode(errors="replace"), b"%d" % partition

    def take(self, records: Sequence[Record]) -> None:
        """Records of the dead letters' partition."""
        source, at, digests, name = [], [], [], []
        for record in records:
            said = read_letter_headers(record.headers)
            if said.topic != self._topic:
                self.of_others += 1
                continue
            place = _place(said.offset, said.element)
            if place is None or said.partition != self._own:
                self._refuse(record, _why(said.partition, said.offset))
                continue
            source.append(place)
            at.append(record.offset)
            digests.append(letter_digest(record.key, record.value))
            name.append(self._code((said.model or b"", said.stage or b"", said.code or b"")))
        self._add(source, at, digests, name)


def letter_digest(key: bytes | None, value: bytes | None) -> bytes:
    """16 bytes of what a dead letter says; zeros for one without its value, which may have been too large."""
    if value is None:
        return UNREADABLE
    head = b"\0" if key is None else b"\1%d:%b" % (len(key), key)
    return blake2b(head + value, digest_size=DIGEST_BYTES).digest()


def _place(offset: bytes | None, index: bytes | None) -> int | None:
    at, element = _number(offset, MOST_OFFSET), _number(index, MOST_INDEX) if index else NO_INDEX
    return None if at is None or element is None else place_of(at, element)


def _number(text: bytes | None, most: int) -> int | None:
    is_number = text is not None and text.isdigit() and len(text) <= MOST_DIGITS and int(text) <= most
    return int(text) if is_number and text is not None else None


def _why(partition: bytes | None, offset: bytes | None) -> str:
    if partition is None or offset is None:
        return "without the source position in its headers"
    return f"of source partition {partition[:20]!r}, offset {offset[:20]!r}"

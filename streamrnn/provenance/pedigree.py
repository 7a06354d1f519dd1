"""What a partition's state is a function of, as it is written beside each committed offset. No I/O."""

from typing import NamedTuple

import msgspec

FORMAT = 1
LONGEST_TEXT = 3000
"""Characters; brokers take 4,096 bytes of metadata unless told otherwise."""


class Spoken(NamedTuple):
    """Who made the predictions from `served_from` on until the next did, and since when the state is."""

    model: str
    fingerprint: str
    since: int
    served_from: int


class Pedigree(NamedTuple):
    """The state is what fresh rows become by stepping the offsets from `since` up to the committed one with the
    model of this fingerprint; predictions from offset `served_from` on were made by it."""

    model: str
    fingerprint: str
    since: int
    served_from: int
    born: str = ""
    """Drawn anew whenever a state begins: what begins at the same offset of another topic is another state. It
    starts with the topic's id and a point, where brokers have ids."""
    before: tuple[Spoken, ...] = ()
    """Those who spoke of the partition before, the last one last; the oldest of very many are forgotten."""

    @property
    def topic_id(self) -> str:
        """The id of the topic whose ticks made the state; empty where the id is not known."""
        return self.born.rpartition(".")[0]

    def is_of(self, topic_id: str) -> bool:
        """Whether the state may be of the topic of this id. A state whose topic is not known may be of any."""
        return topic_id in ("", self.topic_id) or not self.topic_id

    def is_kin(self, other: "Pedigree") -> bool:
        """Whether both states have one beginning."""
        return (self.since, self.born) == (other.since, other.born)

    def speaking_after(self, other: "Pedigree", offset: int) -> "Pedigree":
        """The same state, which speaks from `offset` on in place of the other."""
        ended = Spoken(other.model, other.fingerprint, other.since, other.served_from)
        spoken = (*other.before, ended) if other.served_from < offset else other.before
        after = self._replace(served_from=offset, before=spoken)
        while after.before and len(after.to_text()) > LONGEST_TEXT:
            after = after._replace(before=after.before[1:])
        return after

    def to_text(self) -> str:
        """The pedigree as text for the metadata of a committed offset."""
        said = {name: value for name, value in self._asdict().items() if value != ()}
        return msgspec.json.encode({"v": FORMAT} | said).decode()

    @staticmethod
    def from_text(text: str) -> "Pedigree | None":
        """The pedigree in the metadata of a committed offset; None where no worker of ours wrote the text."""
        try:
            written = _WRITTEN.decode(text)
        except msgspec.DecodeError:
            return None
        if written.v != FORMAT:
            return None
        return Pedigree(*(getattr(written, name) for name in Pedigree._fields))


class _Written(msgspec.Struct):
    v: int
    model: str
    fingerprint: str
    since: int
    served_from: int
    born: str = ""
    before: tuple[Spoken, ...] = ()


_WRITTEN = msgspec.json.Decoder(_Written)

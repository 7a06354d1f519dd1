"""What a partition's state is a function of, as it is written beside each committed offset. No I/O."""

from typing import NamedTuple

import msgspec

FORMAT = 1


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

    def to_text(self) -> str:
        """The pedigree as text for the metadata of a committed offset."""
        return msgspec.json.encode({"v": FORMAT} | self._asdict()).decode()

    @staticmethod
    def from_text(text: str) -> "Pedigree | None":
        """The pedigree in the metadata of a committed offset; None where no worker of ours wrote the text."""
        try:
            written = _WRITTEN.decode(text)
        except msgspec.DecodeError:
            return None
        if written.v != FORMAT:
            return None
        return Pedigree(written.model, written.fingerprint, written.since, written.served_from, written.born)


class _Written(msgspec.Struct):
    v: int
    model: str
    fingerprint: str
    since: int
    served_from: int
    born: str = ""


_WRITTEN = msgspec.json.Decoder(_Written)

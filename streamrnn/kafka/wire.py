"""Owns the two requests that aiokafka 0.14 cannot say: stable offsets asked for, offsets sent as a group's member.

OffsetFetch 7 is KIP-447's `require_stable`; TxnOffsetCommit 3 is its fencing by member and generation. An older
broker is asked for offsets in the newest version it has. Knows the layout of bytes, not what to do with answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest_v1, OffsetFetchRequest_v2, OffsetFetchRequest_v3
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from streamrnn.kafka.marks import Mark, Membership

_TEXT, _TAGS = CompactString("utf-8"), ("tags", TaggedFields)
_NO_EPOCH = -1


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]
    """Offsets with their metadata, an error for each partition and one for all."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]
    """The first version with `require_stable`."""

    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", _TEXT),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class StableOffsetFetch(
    Request[OffsetFetchRequest_v1 | OffsetFetchRequest_v2 | OffsetFetchRequest_v3 | OffsetFetchRequest_v7]  # type: ignore[misc]
):
    """A group's committed offsets of one topic; where the broker can, only once no transaction is pending."""

    API_KEY = 9

    def __init__(self, group: str, topic: str, partitions: Sequence[int]) -> None:
        self._group, self._topic, self._partitions = group, topic, list(partitions)

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        """The request in the version that was negotiated."""
        if version is OffsetFetchRequest_v7:
            return version(self._group, [(self._topic, self._partitions, {})], True, {})
        return version(self._group, [(self._topic, self._partitions)])


def read_offsets(response: Any) -> list[tuple[int, int, str, int]]:
    """Partition, offset (-1: none), metadata and error code of each partition of a fetch's answer."""
    rows = [row for _, partitions, *_ in response.topics for row in partitions]
    if response.API_VERSION == OffsetFetchResponse_v7.API_VERSION:
        return [(partition, offset, text or "", code) for partition, offset, _, text, code, _ in rows]
    return [(partition, offset, text or "", code) for partition, offset, text, code in rows]


class TxnOffsetCommitResponse_v3(Response):  # type: ignore[misc]
    """An error code for each partition."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), _TAGS)),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class TxnOffsetCommitRequest_v3(RequestStruct):  # type: ignore[misc]
    """The first version that names the member and its generation."""

    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class FencedOffsetCommit(Request[TxnOffsetCommitRequest_v3]):  # type: ignore[misc]
    """Offsets that become the group's with the transaction, if the member is still of that generation (KIP-447)."""

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        member: Membership,
        topic: str,
        marks: Mapping[int, Mark],
    ) -> None:
        rows: list[Any] = [(p, mark.offset, _NO_EPOCH, mark.metadata, {}) for p, mark in marks.items()]
        who = (transactional_id, member.group, producer_id, epoch)
        self._fields: tuple[Any, ...] = (
            *who,
            member.generation,
            member.member_id,
            member.instance_id,
            [(topic, rows, {})],
            {},
        )

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        """The request in its one version."""
        return version(*self._fields)


def read_errors(response: Any) -> list[int]:
    """The error codes, other than none, of a commit's answer in any version."""
    answers = [row for _, partitions, *_ in response.topics for row in partitions]
    return [code for _, code, *_ in answers if code]

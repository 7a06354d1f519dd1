"""How a worker becomes a member of its group, and learns that another worker has taken its name.

The name is `kafka.group_instance_id`. aiokafka 0.14 heartbeats and commits without the name. Of two workers of one
name, the broker then does not know the older one; the older worker joins anew and takes the name back, and the two
go on like that for ever. With the name in its requests (KIP-345) the older worker is told, and ends:

1. Every heartbeat carries the name.
2. Every commit carries the name.
3. The broker answers either with FENCED_INSTANCE_ID once another member has the name.
4. The worker raises WorkerFenced and does not join again: joining would take the name back.

Knows no offsets' meaning and no records.
"""

from collections.abc import Callable, Mapping

from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import (
    OffsetCommitRequest,
    OffsetCommitRequest_v2,
    OffsetCommitRequest_v3,
    OffsetCommitResponse_v3,
)
from aiokafka.protocol.group import HeartbeatRequest_v0, HeartbeatRequest_v1, HeartbeatResponse_v1
from aiokafka.protocol.types import Array, Int32, Int64, Schema, String

from streamrnn.config import Settings
from streamrnn.errors import WorkerFenced
from streamrnn.kafka.client import client_options
from streamrnn.kafka.internals.consuming import speak_by
from streamrnn.kafka.marks import Mark, Membership
from streamrnn.kafka.reading.answer import Skip
from streamrnn.kafka.reading.records import LeanConsumer
from streamrnn.kafka.wire import read_errors

FETCH_WAIT_MS = 50
"""How long a broker may hold an empty fetch: a newly opened gate waits that long at most."""
FENCED_INSTANCE = 82
_TEXT, _NO_EPOCH = String("utf-8"), -1


class HeartbeatResponse_v3(HeartbeatResponse_v1):  # type: ignore[misc]
    """The answer to a heartbeat, laid out as in version 1."""

    API_VERSION = 3


class HeartbeatRequest_v3(RequestStruct):  # type: ignore[misc]
    """A heartbeat in the first version that names the instance."""

    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = HeartbeatResponse_v3
    SCHEMA = Schema(
        ("group", _TEXT),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
    )


class NamedHeartbeat(Request[HeartbeatRequest_v0 | HeartbeatRequest_v1 | HeartbeatRequest_v3]):  # type: ignore[misc]
    """A heartbeat of a named worker. Brokers before 2.3 hear no name."""

    API_KEY = 12

    def __init__(self, member: Membership) -> None:
        self._member = member

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        """The request in the version that was negotiated."""
        member = self._member
        who = (member.group, member.generation, member.member_id)
        # 1. a heartbeat carries the name, where the broker knows names
        return version(*who, member.instance_id) if version is HeartbeatRequest_v3 else version(*who)


class OffsetCommitResponse_v7(OffsetCommitResponse_v3):  # type: ignore[misc]
    """The answer to a commit, laid out as in version 3."""

    API_VERSION = 7


class OffsetCommitRequest_v7(RequestStruct):  # type: ignore[misc]
    """A commit in the first version that names the instance."""

    API_KEY = 8
    API_VERSION = 7
    RESPONSE_TYPE = OffsetCommitResponse_v7
    SCHEMA = Schema(
        ("group", _TEXT),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        (
            "topics",
            Array(
                ("topic", _TEXT),
                (
                    "partitions",
                    Array(("partition", Int32), ("offset", Int64), ("leader_epoch", Int32), ("metadata", _TEXT)),
                ),
            ),
        ),
    )


class MemberOffsetCommit(Request[OffsetCommitRequest_v2 | OffsetCommitRequest_v3 | OffsetCommitRequest_v7]):  # type: ignore[misc]
    """Offsets committed by a member under its name, where it has one and the broker is of 2.3 or newer."""

    API_KEY = 8

    def __init__(self, member: Membership, topic: str, marks: Mapping[int, Mark]) -> None:
        self._member, self._topic, self._marks = member, topic, marks

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        """The request in the version that was negotiated."""
        member, rows = self._member, [(p, *mark) for p, mark in self._marks.items()]
        who = (member.group, member.generation, member.member_id)
        if version is OffsetCommitRequest_v7:  # 2. and so does a commit
            aware = [(p, offset, _NO_EPOCH, metadata) for p, offset, metadata in rows]
            return version(*who, member.instance_id, [(self._topic, aware)])
        return version(*who, OffsetCommitRequest.DEFAULT_RETENTION_TIME, [(self._topic, rows)])


class WorkerName:
    """A worker's name, if it has one: goes into heartbeats, and notes that another worker has the name."""

    def __init__(self, instance_id: str | None) -> None:
        self._instance_id = instance_id
        self._is_taken = False

    def heartbeat(self, group: str, generation: int, member_id: str) -> Request | None:
        """A heartbeat with the name, None without one."""
        if self._instance_id is None:
            return None
        return NamedHeartbeat(Membership(group, generation, member_id, self._instance_id))

    def hear(self, code: int) -> None:
        """Note the error code of an answer to a heartbeat or a join."""
        # 3. only noted: this runs inside aiokafka's tasks, which an error of ours would end
        self._is_taken |= code == FENCED_INSTANCE

    def check(self, group: str) -> None:
        """Raise WorkerFenced where the group has told that another worker has the name."""
        # 4. the worker's own loop asks this, and ends
        if self._is_taken:
            raise fenced(group, self._instance_id)


def make_member(settings: Settings, name: WorkerName, on_skip: Callable[[Skip], None]) -> LeanConsumer:
    """Make a consumer, not yet started, that its group will know by its name, where it has one."""
    kafka = settings.kafka
    # The assignor keeps its memory on its class: a class for each member of this process.
    assignor = type("Sticky", (StickyPartitionAssignor,), {})
    options = client_options(kafka) | {
        "group_id": kafka.group,
        "group_instance_id": kafka.group_instance_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "session_timeout_ms": kafka.session_timeout_ms,
        "heartbeat_interval_ms": kafka.heartbeat_interval_ms,
        "rebalance_timeout_ms": kafka.rebalance_timeout_ms,
        "max_poll_interval_ms": kafka.max_poll_interval_ms,
        "partition_assignment_strategy": (assignor,),
        "fetch_max_wait_ms": FETCH_WAIT_MS,
    }
    consumer = LeanConsumer(settings, on_skip=on_skip, **options)
    speak_by(consumer, name)
    return consumer


def fenced(group: str, instance_id: str | None) -> WorkerFenced:
    """The error of a worker whose name another worker has taken."""
    return WorkerFenced(
        f"another worker has joined group {group!r} with the same kafka.group_instance_id ({instance_id!r}) "
        "and has taken this one's place: give each worker a name of its own, or none"
    )


def is_fenced(response: Response) -> bool:
    """Whether the answer to a heartbeat or a commit says that another worker has the name: step 3."""
    codes = read_errors(response) if hasattr(response, "topics") else [response.error_code]
    return FENCED_INSTANCE in codes

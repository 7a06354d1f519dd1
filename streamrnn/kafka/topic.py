"""Owns which topic a name stands for: a topic deleted and made anew has its old name and another id.

aiokafka 0.14 knows names alone. Metadata 10 (Kafka 2.8) tells ids; older brokers tell none, and then a topic made
anew shows by fewer partitions, or by offsets that it does not have. Knows no group and no record.
"""

import asyncio
import logging
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka_errors
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from streamrnn.errors import TopicError, TopicReplaced
from streamrnn.kafka.internals.consuming import any_broker, ask_node, brokers

log = logging.getLogger(__name__)
GONE_S = 10.0
"""After so long without it a topic counts as deleted: brokers that start or lag may not know it for a while."""
_TEXT, _TAGS, _UNKNOWN = CompactString("utf-8"), ("tags", TaggedFields), 3


class _Id(AbstractType[uuid.UUID]):  # type: ignore[misc]
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class MetadataResponse_v10(Response):  # type: ignore[misc]
    """Brokers and topics, with the topics' ids."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("topic_id", _Id),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("topic_authorized_operations", Int32),
                _TAGS,
            ),
        ),
        ("cluster_authorized_operations", Int32),
        _TAGS,
    )


class MetadataRequest_v10(RequestStruct):  # type: ignore[misc]
    """The first version that tells ids."""

    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponse_v10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Id), ("topic", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _Asked(Request[MetadataRequest_v4 | MetadataRequest_v5 | MetadataRequest_v10]):  # type: ignore[misc]
    """What there is of one topic, which is not made by asking for it."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, version: type[RequestStruct]) -> RequestStruct:
        """The request in the version that was negotiated."""
        if version is MetadataRequest_v10:
            return version([(uuid.UUID(int=0), self._topic, {})], False, False, False, {})
        return version([self._topic], False)


class Seen(NamedTuple):
    """What a broker knows of the topic: whether it is there, and its id, empty where brokers have none."""

    is_there: bool
    id: str


class Topic:
    """The topic that a name stood for when `begin` was called."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.id = ""
        self._name, self._clock = name, clock
        self._missing_s: float | None = None

    async def begin(self, consumer: AIOKafkaConsumer) -> None:
        """Take note of the topic's id."""
        seen = await _ask(consumer, self._name, brokers(consumer))
        self.id = next((each.id for each in seen if each.is_there), "")

    @property
    def is_missing(self) -> bool:
        """Whether no broker knew it when last asked."""
        return self._missing_s is not None

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """TopicReplaced when all brokers that answer say that it is another by now, or gone for GONE_S.

        One that alone says so may lag: topics come to brokers one after the other.
        """
        seen = await _ask(consumer, self._name, [any_broker(consumer)])
        if seen != [Seen(True, self.id)]:
            seen = await _ask(consumer, self._name, brokers(consumer))
        if seen and all(each.is_there and each.id and each.id != self.id for each in seen) and self.id:
            raise TopicReplaced(_made_anew(self._name, self.id, seen[0].id))
        if not seen or any(each.is_there for each in seen):
            self._missing_s = None
            return
        now_s = self._clock()
        if self._missing_s is None:
            self._missing_s = now_s
            log.error("no broker knows the topic %s any more: was it deleted?", self._name)
        if now_s - self._missing_s >= GONE_S:
            raise TopicReplaced(_deleted(self._name))


def check_count(name: str, before: int, now: int) -> None:
    """TopicError when a topic has grown: its keys have moved to other partitions, away from their state.

    TopicReplaced when it has shrunk, for then it is another.
    """
    if now > before:
        raise TopicError(
            f"{name} has grown from {before} to {now} partitions: keys have moved to others, where "
            "their streams begin anew; give the output and dead-letter topics as many, then start again"
        )
    if 0 < now < before:
        raise TopicReplaced(
            f"{name} was deleted and made anew with {now} partitions instead of {before}: make the output and "
            "dead-letter topics anew with as many, or name others, then start again; all streams begin anew"
        )


def _made_anew(name: str, before: str, now: str) -> str:
    return (
        f"the topic {name!r} was deleted and made anew (its id was {before} and is {now}): started again, the "
        "group begins on the new one, with new states; the output topic still holds what was made of the old "
        "one: make it anew too, or name another, if readers or streamrnn verify are to tell them apart"
    )


def _deleted(name: str) -> str:
    return (
        f"the topic {name!r} was deleted: make it anew, with as many partitions as the output and dead-letter "
        "topics have, then start again; all streams begin anew"
    )


async def _ask(consumer: AIOKafkaConsumer, name: str, nodes: list[int]) -> list[Seen]:
    """What those of the brokers know of it that answer."""
    asked = [ask_node(consumer, node, _Asked(name)) for node in nodes]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, kafka_errors.KafkaError | OSError):
            raise answer
    return [_seen(answer, name) for answer in answers if not isinstance(answer, BaseException)]


def _seen(response: Response, name: str) -> Seen:
    """Any error but that it is unknown says that it is there; ids as kafka-topics.sh shows them."""
    described = next(topic for topic in response.to_object()["topics"] if topic["topic"] == name)
    number: uuid.UUID = described.get("topic_id") or uuid.UUID(int=0)
    shown = urlsafe_b64encode(number.bytes).decode().rstrip("=")
    return Seen(described["error_code"] != _UNKNOWN, shown if number.int else "")

"""Owns the topics' existence and shape: input must be there, output and dead letters are made to match.

Knows no records and no groups.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.metadata import MetadataRequest

from streamrnn.config import KafkaSettings, Settings
from streamrnn.errors import BrokerError, TopicError
from streamrnn.kafka.client import client_options, deadline, foreign, start_client
from streamrnn.kafka.internals.asking import ask_broker

APPEAR_DEADLINE_S = 15.0
POLL_S = 0.1
LAG_S = 2.0
"""How long a topic that was just created may be unknown to the one broker of several that is asked."""
_NOT_YET = {3, 5}
"""Unknown topic (yet) and no leader (yet), in a metadata answer."""


async def prepare_topics(settings: Settings) -> int:
    """Partition count of input, output and dead letters, creating the latter two when absent.

    TopicError when the input is missing, when one may not be created, or when the counts differ.
    """
    source, made = settings.input.topic, (settings.output.topic, settings.dead_letter_topic)
    async with _Admin(settings.kafka) as admin:
        needed = (source,) if settings.output.create_topics else (source, *made)
        counts = await admin.counts([source, *made], needed)
        count = counts[source]
        if not count:
            raise TopicError(_no_input(settings))
        missing = [topic for topic in made if not counts[topic]]
        if missing and not settings.output.create_topics:
            raise TopicError(f"topics {missing} do not exist and output.create_topics is off")
        if missing:
            counts |= await admin.create(missing, count, settings.output.replication_factor)
    for topic in made:
        if counts[topic] != count:
            raise TopicError(_unequal(source, count, topic, counts[topic]))
    return count


async def partition_count(kafka: KafkaSettings, topic: str, *, is_needed: bool = False) -> int:
    """Partitions of a topic, 0 where it does not exist; one that is needed is waited for, LAG_S."""
    async with _Admin(kafka) as admin:
        return (await admin.counts([topic], [topic] if is_needed else ()))[topic]


async def create_topic(kafka: KafkaSettings, topic: str, partitions: int, replication_factor: int = 1) -> int:
    """Create one topic, wait until it has leaders, and return the partitions it has: another may have been first
    to create it. TopicError when the broker refuses."""
    async with _Admin(kafka) as admin:
        return (await admin.create([topic], partitions, replication_factor))[topic]


class _Admin:
    """An admin client for the length of an `async with`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._client = AIOKafkaAdminClient(**client_options(kafka))
        self._deadline_s = kafka.request_timeout_ms / 1000

    async def __aenter__(self) -> "_Admin":
        try:
            await start_client(self._client, self._kafka, self._deadline_s)
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def counts(self, topics: Sequence[str], needed: Collection[str] = ()) -> dict[str, int]:
        """Partitions of each topic, 0 where it does not exist; a needed one, nor came to in LAG_S."""
        end = time.monotonic() + LAG_S
        while True:
            found = {topic: len(leaders) for topic, leaders in (await self._leaders(topics)).items()}
            if all(found[topic] for topic in needed) or time.monotonic() >= end:
                return found
            await asyncio.sleep(POLL_S)

    async def _leaders(self, topics: Sequence[str]) -> dict[str, list[int]]:
        """The leader of each partition of each topic, -1 where there is none.

        Asked by hand: aiokafka's describe_topics lets the broker create what it asks for.
        """
        request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
        async with deadline(self._deadline_s, f"reading the topics {list(topics)}"):
            response = await ask_broker(self._client, request)
        described = {topic["topic"]: topic for topic in response.to_object()["topics"]}
        return {topic: _leaders(described[topic]) for topic in topics}

    async def create(self, topics: Sequence[str], count: int, replication_factor: int) -> dict[str, int]:
        """Create what is not there; another process may win the race, that is fine. Returns the counts that are."""
        # aiokafka takes -1, "the broker's default", only beside an explicit (empty) replica assignment.
        replicas: dict[int, list[int]] | None = {} if replication_factor == -1 else None
        wanted = [NewTopic(topic, count, replication_factor, replicas) for topic in topics]
        async with deadline(self._deadline_s, f"creating the topics {list(topics)}"):
            response = await self._client.create_topics(wanted)
        for topic, code, *message in response.topic_errors:
            _check_created(topic, code, str(message[0] or "") if message else "")
        return await self._appeared(topics)

    async def _appeared(self, topics: Sequence[str]) -> dict[str, int]:
        """The counts once all partitions have leaders; asked for again, another broker may not know yet."""
        end = time.monotonic() + APPEAR_DEADLINE_S
        while True:
            found = await self._leaders(topics)
            if all(leaders and min(leaders) >= 0 for leaders in found.values()):
                return {topic: len(leaders) for topic, leaders in found.items()}
            if time.monotonic() > end:
                raise TopicError(f"topics {list(topics)} were created and did not appear")
            await asyncio.sleep(POLL_S)


def _leaders(topic: dict[str, Any]) -> list[int]:
    code = topic["error_code"]
    if code and code not in _NOT_YET:
        raise foreign(kafka_errors.for_code(code)(), f"reading the topic {topic['topic']}")
    return [partition["leader"] for partition in topic["partitions"]]


def _check_created(topic: str, code: int, message: str) -> None:
    kind = kafka_errors.for_code(code)
    if kind in (kafka_errors.NoError, kafka_errors.TopicAlreadyExistsError):
        return
    error = foreign(kind(message), f"creating the topic {topic}")
    raise error if error.retriable or type(error) is not BrokerError else TopicError(str(error))


def _no_input(settings: Settings) -> str:
    topic, bootstrap = settings.input.topic, settings.kafka.bootstrap
    return (
        f"the input topic {topic!r} does not exist at {bootstrap}; create it with "
        f"kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {topic} --partitions N"
    )


def _unequal(source: str, count: int, topic: str, other: int) -> str:
    return (
        f"{source!r} has {count} partitions and {topic!r} has {other}: a prediction keeps its tick's partition "
        "number, so both need the same count (kafka-topics.sh --alter --topic NAME --partitions N)"
    )

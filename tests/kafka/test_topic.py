"""When a topic counts as deleted or made anew, whatever single brokers of a cluster say. No broker needed."""

import base64
import time
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streamrnn.errors import TopicError, TopicReplaced
from streamrnn.kafka.topic import Topic, check_count

OURS, OTHER = uuid.UUID(int=7), uuid.UUID(int=8)


class Cluster:
    """A client of brokers each of which has its own idea of the topic: an id, None for unknown, an error."""

    def __init__(self, *known: uuid.UUID | Exception | None) -> None:
        self.known = list(known)
        self.asked = 0
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=n) for n in range(len(self.known))])

    def get_random_node(self) -> int:
        return 0

    async def send(self, node: int, _: object) -> Any:
        self.asked += 1
        known = self.known[node]
        if isinstance(known, Exception):
            raise known
        described = {"topic": "ticks", "error_code": 3 if known is None else 0, "topic_id": known}
        return SimpleNamespace(to_object=lambda: {"topics": [described]})


async def begun(
    *known: uuid.UUID | Exception | None, clock: Callable[[], float] = time.monotonic
) -> tuple[Topic, Cluster, Any]:
    cluster = Cluster(*known)
    consumer: Any = SimpleNamespace(_client=cluster)
    topic = Topic("ticks", clock)
    await topic.begin(consumer)
    cluster.asked = 0
    return topic, cluster, consumer


async def test_a_topic_that_is_as_it_was_costs_one_question() -> None:
    topic, cluster, consumer = await begun(OURS, OURS, OURS)
    await topic.look(consumer)
    assert cluster.asked == 1
    assert not topic.is_missing
    assert topic.id == base64.urlsafe_b64encode(OURS.bytes).decode().rstrip("=")


@pytest.mark.parametrize("told", [None, OTHER, OSError("away")], ids=["unknown", "another", "away"])
async def test_what_one_broker_of_three_says_alone_is_not_believed(told: uuid.UUID | Exception | None) -> None:
    topic, cluster, consumer = await begun(OURS, OURS, OURS)
    cluster.known[0] = told
    await topic.look(consumer)
    assert not topic.is_missing


async def test_what_all_that_answer_say_is_believed() -> None:
    topic, cluster, consumer = await begun(OURS, OURS, OURS)
    cluster.known = [OTHER, OSError("away"), OTHER]
    with pytest.raises(TopicReplaced, match="deleted and made anew"):
        await topic.look(consumer)


async def test_a_topic_is_missing_at_once_and_deleted_after_a_while() -> None:
    times_s = [101.0, 110.9, 120.0, 130.0]
    topic, cluster, consumer = await begun(OURS, clock=iter(times_s).__next__)
    cluster.known = [None]
    for _ in range(2):
        await topic.look(consumer)
        assert topic.is_missing
    cluster.known = [OURS]
    await topic.look(consumer)
    assert not topic.is_missing
    cluster.known = [None]
    await topic.look(consumer)
    with pytest.raises(TopicReplaced, match="was deleted: make it anew"):
        await topic.look(consumer)


async def test_brokers_without_ids_are_never_taken_to_have_another_topic() -> None:
    topic, _, consumer = await begun(uuid.UUID(int=0))
    assert topic.id == ""
    await topic.look(consumer)
    assert not topic.is_missing


@pytest.mark.parametrize(("now", "error"), [(5, TopicError), (3, TopicReplaced)])
def test_another_count_of_partitions_is_refused(now: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{now} partitions"):
        check_count("ticks", 4, now)


@pytest.mark.parametrize("now", [4, 0], ids=["the same", "not heard of now"])
def test_the_same_count_is_fine_and_none_is_no_answer(now: int) -> None:
    check_count("ticks", 4, now)

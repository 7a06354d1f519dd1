"""Owns what must be known of a started consumer that aiokafka has no method for: positions, places, connections.

Knows no record.
"""

from collections.abc import Iterable
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.api import Request, Response
from aiokafka.protocol.group import HeartbeatRequest


class Voice(Protocol):
    """What a consumer says to its group in its own way, and what it makes of the answers."""

    def heartbeat(self, group: str, generation: int, member_id: str) -> Request | None:
        """The heartbeat to be sent, None for aiokafka's own."""

    def hear(self, code: int) -> None:
        """Told the error code of each answer, 0 for none."""


class _SpokenFor(AIOKafkaClient):  # type: ignore[misc]
    """A consumer's connections, through which all goes that it says to its group and hears from it.

    Relies on HeartbeatRequest's `_group`, `_generation_id` and `_member_id`.
    """

    voice: Voice

    async def send(self, node_id: int, request: Request, **where: object) -> Response:
        """aiokafka's, with the voice's heartbeats."""
        if isinstance(request, HeartbeatRequest):
            own = self.voice.heartbeat(request._group, request._generation_id, request._member_id)
            request = request if own is None else own
        response = await super().send(node_id, request, **where)
        self.voice.hear(getattr(response, "error_code", 0))
        return response


def speak_by(consumer: AIOKafkaConsumer, voice: Voice) -> None:
    """Have a consumer that is not yet started speak to its group by `voice`; relies on `_client`."""
    consumer._client.__class__ = _SpokenFor  # aiokafka takes no client, it makes its own
    consumer._client.voice = voice


def positions(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The next offset to be read of each of these that is assigned and was sought.

    aiokafka's own `position` waits for one. Relies on `_subscription`.
    """
    assignment = consumer._subscription.subscription.assignment
    if assignment is None:
        return {}
    states = {tp: assignment.state_value(tp) for tp in tps}
    return {tp: state.position for tp, state in states.items() if state and state.has_valid_position}


def end_fetch(consumer: AIOKafkaConsumer) -> None:
    """Tell a consumer that nobody waits in its `getmany`; relies on `_subscription` and its `_fetch_count`.

    aiokafka leaves its fetch context open on an error, and then takes a stuck loop for a polling one.
    """
    consumer._subscription._fetch_count = 0


def is_connected(consumer: AIOKafkaConsumer) -> bool:
    """Whether a connection to any broker is open; relies on `_client` and its `_conns`."""
    return any(connection.connected() for connection in consumer._client._conns.values())


def place_in_group(consumer: AIOKafkaConsumer) -> tuple[int, str]:
    """Generation and member id of now; relies on `_coordinator`."""
    return consumer._coordinator.generation, consumer._coordinator.member_id


async def ask_coordinator(consumer: AIOKafkaConsumer, request: Request) -> Response:
    """The answer of the group's coordinator; relies on `_coordinator` and its `_send_req`."""
    await consumer._coordinator.ensure_coordinator_known()
    return await consumer._coordinator._send_req(request)


def lose_coordinator(consumer: AIOKafkaConsumer) -> None:
    """Have the group's coordinator be looked for again; relies on `_coordinator`."""
    consumer._coordinator.coordinator_dead()


def rejoin(consumer: AIOKafkaConsumer, generation: int, is_known: bool) -> None:
    """Join the group anew, as another member unless `is_known`, if that is still the generation.

    A refusal tells of a rebalance before the next heartbeat does. Relies on `_coordinator`.
    """
    coordinator = consumer._coordinator
    if coordinator.generation == generation:
        (coordinator.request_rejoin if is_known else coordinator.reset_generation)()


def brokers(consumer: AIOKafkaConsumer) -> list[int]:
    """The numbers of all brokers; relies on `_client`."""
    return [broker.nodeId for broker in consumer._client.cluster.brokers()]


def any_broker(consumer: AIOKafkaConsumer) -> int:
    """The number of one of them; relies on `_client`."""
    node: int = consumer._client.get_random_node()
    return node


async def ask_node(consumer: AIOKafkaConsumer, node: int, request: Request) -> Response:
    """The answer of one broker; relies on `_client`."""
    return await consumer._client.send(node, request)

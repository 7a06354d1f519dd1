"""Owns what every producer here shares: its options, and a start that says why it failed.

Knows no acknowledgement and no transaction.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiokafka import errors as kafka_errors
from numpy.typing import NDArray

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, ConfigError, TopicError
from streamrnn.kafka.client import client_options, start_client
from streamrnn.kafka.closing import stop_producer
from streamrnn.kafka.internals.outgoing import Producer
from streamrnn.ticks import OutColumns

TOO_MUCH = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTimestampError,
)
"""Answers that blame the records, not the broker: a smaller batch may pass, a single record never will."""


async def start_producer(settings: Settings, batch_bytes: int, **more: Any) -> Producer:
    """A producer that waits for all replicas, with `more` of aiokafka's options.

    BrokerRefused or BrokerUnavailable when it does not start, BrokerError naming the settings to look at where the
    broker cannot do what they ask for. Nothing stays open then.
    """
    try:
        producer = Producer(**_options(settings, batch_bytes) | more)
    except RuntimeError as error:
        raise ConfigError(f"output.compression: {error} (pip install cramjam)") from error
    try:
        await start_client(producer, settings.kafka, settings.kafka.request_timeout_ms / 1000)
    except BaseException as error:
        await stop_producer(producer)
        if type(error) is BrokerError and settings.kafka.acks_idempotent:
            raise BrokerError(f"{error} ({_advice(more)})") from error
        raise
    return producer


def _options(settings: Settings, batch_bytes: int) -> dict[str, Any]:
    compression = settings.output.compression
    return client_options(settings.kafka) | {
        "acks": "all",
        "enable_idempotence": settings.kafka.acks_idempotent,
        "compression_type": None if compression == "none" else compression,
        "max_batch_size": batch_bytes,
        "max_request_size": batch_bytes,
        "linger_ms": 0,
    }


def _advice(more: Mapping[str, Any]) -> str:
    if "transactional_id" in more:
        return "no transactions there, or not so long? see delivery.guarantee and delivery.transaction_timeout_ms"
    return "no idempotence there? see kafka.acks_idempotent"


async def check_partitions(producer: Producer, topic: str, wanted: Iterable[int]) -> None:
    """TopicError when the topic has not all of them; asks the broker the first time only."""
    unknown = set(wanted) - await producer.partitions_for(topic)
    if unknown:
        raise TopicError(f"{topic} has no partition {min(unknown)}")


def by_partition(records: OutColumns) -> dict[int, NDArray[np.intp]]:
    """The rows of the records of each partition, in their order."""
    order = np.argsort(records.partition, kind="stable")
    numbers, firsts = np.unique(records.partition[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True)) if len(order) else {}


def as_run(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """At least one row, ascending, as a slice where none is left out between them: taking that copies nothing."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    return slice(first, stop) if stop - first == len(rows) else rows

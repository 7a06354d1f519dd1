"""What aiokafka's errors mean to us; no broker."""

import ssl

import pytest
from aiokafka import errors as kafka_errors

from streamrnn.config import KafkaSettings
from streamrnn.errors import BrokerError, BrokerRefused, BrokerUnavailable, TopicError
from streamrnn.kafka.client import foreign, start_client


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (ssl.SSLError("bad certificate"), BrokerRefused),
        (kafka_errors.TopicAuthorizationFailedError(), BrokerRefused),
        (kafka_errors.UnknownTopicOrPartitionError(), TopicError),
        (kafka_errors.InvalidTopicError(), TopicError),
        (kafka_errors.ProducerFenced(), BrokerUnavailable),
        (kafka_errors.KafkaTimeoutError(), BrokerUnavailable),
        (ConnectionResetError("gone"), BrokerUnavailable),
        (TimeoutError(), BrokerUnavailable),
        (kafka_errors.NotLeaderForPartitionError(), BrokerUnavailable),
        (kafka_errors.UnsupportedCodecError("zstd"), BrokerError),
        (kafka_errors.MessageSizeTooLargeError(), BrokerError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_each_error_of_aiokafka_becomes_the_one_of_ours_that_says_what_to_do(
    theirs: Exception, ours: type[BrokerError]
) -> None:
    error = foreign(theirs, "publish to out")
    assert type(error) is ours
    assert str(error).startswith("publish to out: ")


def test_an_error_of_ours_stays_as_it_is_and_others_say_what_helps() -> None:
    ours = TopicError("no such topic")
    assert foreign(ours, "anything") is ours
    assert "no answer in time" in str(foreign(TimeoutError(), "ask"))
    assert "pip install cramjam" in str(foreign(kafka_errors.UnsupportedCodecError("zstd"), "read"))


def test_an_error_that_aiokafka_wraps_is_what_it_wraps() -> None:
    lost = kafka_errors.KafkaConnectionError("Connection at kafka:1 closed")
    wrapped = kafka_errors.KafkaError(repr(lost))
    assert type(foreign(wrapped, "begin")) is BrokerError
    wrapped.__cause__ = lost
    assert type(foreign(wrapped, "begin")) is BrokerUnavailable
    again = kafka_errors.KafkaError("Unexpected error during batch delivery")
    again.__cause__ = wrapped
    assert type(foreign(again, "begin")) is BrokerUnavailable


async def test_a_broker_that_names_none_yet_is_away_for_a_moment() -> None:
    class Client:
        async def start(self) -> None:
            raise AssertionError("Did we not perform bootstrap?")

    with pytest.raises(BrokerUnavailable, match="Kafka at kafka:1 does not answer"):
        await start_client(Client(), KafkaSettings(bootstrap="kafka:1"), 1.0)

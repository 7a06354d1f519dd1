"""Owns what every Kafka client shares: addresses, TLS and SASL options, the start under a deadline,
and the one place where aiokafka's errors become ours. Knows no topic and no record.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from aiokafka import errors as kafka_errors
from aiokafka.abc import AbstractTokenProvider

from streamrnn.config import KafkaSettings
from streamrnn.errors import BrokerError, BrokerRefused, BrokerUnavailable, ConfigError, TopicError

_REFUSED = (
    ssl.SSLError,
    kafka_errors.AuthenticationFailedError,
    kafka_errors.AuthenticationMethodNotSupported,
    kafka_errors.SaslAuthenticationFailed,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.ClusterAuthorizationFailedError,
    kafka_errors.GroupAuthorizationFailedError,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.TransactionalIdAuthorizationFailed,
)
_OF_TOPIC = (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.InvalidTopicError)
_MAY_PASS = (
    # A producer whose batches or transaction the broker no longer knows: lost for good, but a new one may go on.
    kafka_errors.OutOfOrderSequenceNumber,
    kafka_errors.UnknownProducerId,
    kafka_errors.InvalidProducerIdMapping,
    kafka_errors.InvalidTxnState,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.ProducerFenced,
    kafka_errors.ProducerClosed,
    # A broker or a network that is away.
    kafka_errors.KafkaTimeoutError,
    OSError,
)
_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], type[BrokerError]], ...] = (
    (_REFUSED, BrokerRefused),
    (_OF_TOPIC, TopicError),
    (_MAY_PASS, BrokerUnavailable),
)
"""What aiokafka's errors mean to us: the first row that fits. Others may pass where it calls them retriable."""
_FOREIGN = (
    kafka_errors.KafkaError,
    kafka_errors.IllegalOperation,
    kafka_errors.ConsumerStoppedError,
    OSError,
)
_failed_connects: ContextVar[list[tuple[str, BaseException]] | None] = ContextVar("failed_connects", default=None)


class _Startable(Protocol):
    async def start(self) -> None: ...


class _ConnectListener(logging.Handler):
    """Keeps the exceptions of aiokafka's failed connects and first requests: `start()` itself hides them."""

    def emit(self, record: logging.LogRecord) -> None:
        failed = _failed_connects.get()
        arguments = record.args if isinstance(record.args, tuple) else ()
        if failed is None or not arguments or not isinstance(arguments[-1], BaseException):
            return
        failed.append((":".join(str(part) for part in arguments[:-1]), arguments[-1]))


class _Token(AbstractTokenProvider):  # type: ignore[misc]
    """The bearer token of the settings; a file is read at each connect, so that it may be renewed."""

    def __init__(self, token: str | None, path: Path | None) -> None:
        self._token = token
        self._path = path

    async def token(self) -> str:
        if self._path is None:
            return self._token or ""
        try:
            return self._path.read_text("utf-8").strip()
        except OSError as error:
            raise kafka_errors.AuthenticationFailedError(f"kafka.oauth_token_file: {error}") from error


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes; ConfigError names a file that cannot be used."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap,
        "client_id": kafka.client_id,
        "request_timeout_ms": kafka.request_timeout_ms,
        "metadata_max_age_ms": kafka.metadata_max_age_ms,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol in ("SSL", "SASL_SSL"):
        options["ssl_context"] = _ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL_"):
        options |= _sasl_options(kafka)
    return options


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    password = kafka.ssl_key_password.get_secret_value() if kafka.ssl_key_password else None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_ca)
        if kafka.ssl_cert is not None:
            context.load_cert_chain(kafka.ssl_cert, kafka.ssl_key, password)
    except (OSError, ssl.SSLError) as error:
        files = [str(path) for path in (kafka.ssl_ca, kafka.ssl_cert, kafka.ssl_key) if path]
        raise ConfigError(f"kafka.ssl_*: cannot use {', '.join(files)}: {error}") from error
    context.check_hostname = kafka.ssl_check_hostname
    return context


def _sasl_options(kafka: KafkaSettings) -> dict[str, Any]:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        token = kafka.oauth_token.get_secret_value() if kafka.oauth_token else None
        if token is None and kafka.oauth_token_file is None:
            raise ConfigError("OAUTHBEARER needs kafka.oauth_token or kafka.oauth_token_file")
        provider = _Token(token, kafka.oauth_token_file)
        return {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider}
    if kafka.sasl_username is None or kafka.sasl_password is None:
        raise ConfigError(f"{kafka.sasl_mechanism} needs kafka.sasl_username and kafka.sasl_password")
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": kafka.sasl_password.get_secret_value(),
    }


def foreign(error: BaseException, doing: str) -> BrokerError:
    """Our error for one of aiokafka's; `doing` says what was tried, for the message."""
    if isinstance(error, BrokerError):
        return error
    if is_wrapper(error) and error.__cause__ is not None:
        return foreign(error.__cause__, doing)
    said = f"{doing}: {_words(error)}"
    for theirs, ours in _MEANINGS:
        if isinstance(error, theirs):
            return ours(said)
    return BrokerUnavailable(said) if getattr(error, "retriable", False) else BrokerError(said)


def is_wrapper(error: BaseException) -> bool:
    """Whether aiokafka wraps in this what it did not expect, a lost connection for one."""
    return type(error) is kafka_errors.KafkaError and error.__cause__ is not None


def _words(error: BaseException) -> str:
    text = str(error).strip()
    name = type(error).__name__
    if isinstance(error, TimeoutError) and not text:
        return "no answer in time"
    if isinstance(error, kafka_errors.UnsupportedCodecError):
        return f"{name} {text} (pip install cramjam)"
    return text if name in text or isinstance(error, OSError) else f"{name} {text}".strip()


@contextmanager
def mapped(doing: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn aiokafka's and the socket's errors inside into ours, all `but` those the caller handles."""
    try:
        yield
    except but:
        raise
    except _FOREIGN as error:
        raise foreign(error, doing) from error


@asynccontextmanager
async def deadline(seconds: float, doing: str) -> AsyncIterator[None]:
    """`mapped`, and BrokerUnavailable when it takes longer than `seconds`."""
    with mapped(doing):
        async with asyncio.timeout(seconds):
            yield


async def start_client(client: _Startable, kafka: KafkaSettings, seconds: float) -> None:
    """Start an aiokafka client; on failure say why, which aiokafka only logs."""
    failed: list[tuple[str, BaseException]] = []
    listener = _ConnectListener(logging.WARNING)
    logger = logging.getLogger("aiokafka")
    mark = _failed_connects.set(failed)
    logger.addHandler(listener)
    try:
        async with deadline(seconds, f"Kafka at {kafka.bootstrap}"):
            try:
                await client.start()
            except AssertionError as error:
                # aiokafka asserts that it knows a broker; one that has just come back may name none for a moment.
                failed.append((kafka.bootstrap, error))
                raise BrokerUnavailable(f"Kafka at {kafka.bootstrap} names no broker") from error
    except BrokerUnavailable as error:
        raise _reason(kafka, failed or [(kafka.bootstrap, TimeoutError())]) from error
    finally:
        logger.removeHandler(listener)
        _failed_connects.reset(mark)


def _reason(kafka: KafkaSettings, failed: list[tuple[str, BaseException]]) -> BrokerError:
    """The most telling of the failed connects: a refusal before a dead address."""
    for where, error in failed:
        if isinstance(error, _REFUSED):
            return BrokerRefused(f"Kafka at {where} refused us: {_words(error)}{_advice(kafka, error)}")
    where, error = failed[-1]
    return BrokerUnavailable(f"Kafka at {where} does not answer: {_words(error)}{_advice(kafka, error)}")


def _advice(kafka: KafkaSettings, error: BaseException) -> str:
    """Which settings to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return " (kafka.ssl_ca must hold the authority that signed the broker's certificate)"
    if isinstance(error, ssl.SSLError):
        return " (is it a TLS port? see kafka.security_protocol)"
    if isinstance(error, _REFUSED):
        return " (see kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password)"
    if isinstance(error, ConnectionRefusedError):
        return " (nothing listens there: see kafka.bootstrap)"
    if isinstance(error, kafka_errors.KafkaConnectionError | ConnectionResetError | TimeoutError):
        return f" (does it speak {kafka.security_protocol}? see kafka.security_protocol)"
    return ""

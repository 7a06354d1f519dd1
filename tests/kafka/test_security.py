"""TLS, SASL and rights on a real Kafka: what works, and that a refusal says what to look at."""

import gc
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from signal import SIGTERM
from typing import NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from streamrnn.config import Settings
from streamrnn.errors import BrokerError, BrokerRefused, BrokerUnavailable
from streamrnn.kafka.admin import create_topic, prepare_topics
from streamrnn.kafka.reading.member import Source
from streamrnn.kafka.writing.appending import Appender
from streamrnn.ticks import OutRecord

from .conftest import kafka_home, real_kafka
from .served import positions_of, start

pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
PASSWORD, WRONG = "s3cret-of-svc", "wrong-s3cret"
LOGIN = "org.apache.kafka.common.security"
PROPERTIES = (
    "sasl.enabled.mechanisms=SCRAM-SHA-256,PLAIN",
    "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256",
    f"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={LOGIN}.scram.ScramLoginModule required "
    'username="admin" password="admin-secret";',
    f'listener.name.sasl_ssl.plain.sasl.jaas.config={LOGIN}.plain.PlainLoginModule required user_svc="{PASSWORD}";',
    "ssl.keystore.type=PEM",
    "ssl.truststore.type=PEM",
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users=User:admin;User:svc;User:ANONYMOUS",
)
USERS = {"admin": "admin-secret", "svc": PASSWORD, "reader": PASSWORD, "nobody": PASSWORD}


class Secured(NamedTuple):
    """A broker that wants TLS and SCRAM; `reader` may use all topics and no group, `nobody` nothing."""

    bootstrap: str
    ca: Path
    other_ca: Path

    def settings(self, **kafka: object) -> Settings:
        """Those of the user `svc`, changed by `kafka`."""
        right = {
            "bootstrap": self.bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_username": "svc",
            "sasl_password": PASSWORD,
            "ssl_ca": str(self.ca),
            "session_timeout_ms": 2000,
            "heartbeat_interval_ms": 300,
            "rebalance_timeout_ms": 2000,
            "request_timeout_ms": 5000,
        }
        return Settings(kafka=right | kafka)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with a certificate of its own authority, and rights."""
    home, folder = kafka_home("start"), tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(link.bytes() for link in certificate.cert_chain_pems)
    (folder / "broker.pem").write_bytes(as_pkcs8(certificate.private_key_pem.bytes()) + chain)
    files = (f"ssl.keystore.location={folder}/broker.pem", f"ssl.truststore.location={folder}/ca.pem")
    scram = " ".join(f"--add-scram SCRAM-SHA-256=[name={n},password={p}]" for n, p in USERS.items())
    environment = {"KAFKA_LISTENER": "SASL_SSL", "KAFKA_FORMAT_ARGS": scram}
    with real_kafka(home, folder / "cluster", *PROPERTIES, *files, **environment) as bootstrap:
        grant_topics_to_reader(home, bootstrap, folder)
        yield Secured(bootstrap, folder / "ca.pem", folder / "other.pem")


def as_pkcs8(key: bytes) -> bytes:
    """The form of a private key that Kafka reads."""
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return load_pem_private_key(key, None).private_bytes(*form)


def grant_topics_to_reader(home: Path, bootstrap: str, folder: Path) -> None:
    (folder / "admin.properties").write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
        f"ssl.truststore.type=PEM\nssl.truststore.location={folder}/ca.pem\n"
        f"sasl.jaas.config={LOGIN}.scram.ScramLoginModule required "
        'username="admin" password="admin-secret";\n'
    )
    program = [home / "bin" / "kafka-acls.sh", "--bootstrap-server", bootstrap]
    rule = ["--add", "--allow-principal", "User:reader", "--operation", "All", "--topic", "*"]
    command = [*program, "--command-config", folder / "admin.properties", *rule]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """aiokafka leaves the socket of a refused connect to the garbage collector: it shall come here, not later."""
    yield
    gc.collect()


async def prepare(settings: Settings) -> None:
    await prepare_topics(settings)


async def start_sink(settings: Settings) -> None:
    appender = Appender(settings)
    try:
        await appender.start()
    finally:
        await appender.stop()


async def start_source(settings: Settings) -> None:
    source = Source(settings)
    try:
        await source.start()
    finally:
        await source.stop()


Client = Callable[[Settings], Awaitable[None]]
each_client = pytest.mark.parametrize("client", [prepare, start_sink, start_source])


async def failure(client: Client, settings: Settings) -> BrokerError:
    """How it fails; never with a password in its text."""
    with pytest.raises(BrokerError) as raised:
        await client(settings)
    assert PASSWORD not in str(raised.value)
    assert WRONG not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
async def test_the_right_credentials_serve_end_to_end_and_no_log_line_shows_them(
    secured: Secured, bundle: Path, mechanism: str
) -> None:
    topic = f"secured-{mechanism.lower()}"
    base = secured.settings(sasl_mechanism=mechanism, group=topic)
    given = base.model_dump(exclude_defaults=True)["kafka"] | {"sasl_password": PASSWORD}
    s = Settings(kafka=given, input={"topic": topic}, output={"topic": f"{topic}-out"})
    await create_topic(s.kafka, topic, 2)
    appender = Appender(s)
    await appender.start()
    value = json.dumps({"x": 1.0}).encode()
    await appender.append(topic, [OutRecord(n % 2, 1_000, b"s", value) for n in range(100)])
    await appender.stop()
    async with start(s, bundle, "--log.level=debug", STREAMRNN_KAFKA__SASL_PASSWORD=PASSWORD) as served:
        await served.until_metric("streamrnn_predictions_total", 100)
        assert await served.stop(SIGTERM) == 0
    assert sorted(await positions_of(s)) == [(p, n) for p in (0, 1) for n in range(50)]
    assert PASSWORD not in served.log()


@each_client
@pytest.mark.parametrize("changed", [{"sasl_password": WRONG}, {"sasl_username": "stranger"}])
async def test_a_wrong_user_or_password_is_told(secured: Secured, client: Client, changed: dict[str, str]) -> None:
    error = await failure(client, secured.settings(**changed))
    assert isinstance(error, BrokerRefused)
    assert "kafka.sasl_username and kafka.sasl_password" in str(error)
    assert secured.bootstrap in str(error)


@each_client
async def test_an_untrusted_certificate_is_told(secured: Secured, client: Client) -> None:
    error = await failure(client, secured.settings(ssl_ca=str(secured.other_ca)))
    assert isinstance(error, BrokerRefused)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert "kafka.ssl_ca" in str(error)


@each_client
async def test_a_mechanism_that_the_broker_does_not_take_is_told(secured: Secured, client: Client) -> None:
    error = await failure(client, secured.settings(sasl_mechanism="SCRAM-SHA-512"))
    assert isinstance(error, BrokerRefused)
    assert "kafka.sasl_mechanism" in str(error)


@each_client
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SSL"])
async def test_a_client_that_speaks_another_protocol_than_the_port_is_told(
    secured: Secured, client: Client, protocol: str
) -> None:
    error = await failure(client, secured.settings(security_protocol=protocol))
    assert isinstance(error, BrokerUnavailable | BrokerRefused)
    assert "kafka.security_protocol" in str(error)
    assert secured.bootstrap in str(error)


@each_client
async def test_a_tls_client_on_a_plain_port_is_told(secured: Secured, client: Client, embedded: str) -> None:
    error = await failure(client, secured.settings(bootstrap=embedded, request_timeout_ms=1000))
    assert isinstance(error, BrokerUnavailable | BrokerRefused)
    assert "kafka.security_protocol" in str(error)


@each_client
async def test_a_dead_address_is_told(secured: Secured, client: Client) -> None:
    error = await failure(client, secured.settings(bootstrap="127.0.0.1:1"))
    assert isinstance(error, BrokerUnavailable)
    assert "127.0.0.1:1" in str(error)
    assert "kafka.bootstrap" in str(error)


async def test_a_missing_right_to_a_topic_is_told(secured: Secured) -> None:
    await create_topic(secured.settings().kafka, "ticks", 1)
    error = await failure(prepare, secured.settings(sasl_username="nobody"))
    assert isinstance(error, BrokerRefused)
    assert "ticks" in str(error)
    assert "TopicAuthorizationFailed" in str(error)


async def test_a_missing_right_to_the_group_is_told(secured: Secured) -> None:
    s = secured.settings(sasl_username="reader", group="not-for-reader")
    await prepare_topics(s)
    error = await failure(start_source, s)
    assert isinstance(error, BrokerRefused)
    assert "GroupAuthorizationFailed" in str(error)
    assert "not-for-reader" in str(error)

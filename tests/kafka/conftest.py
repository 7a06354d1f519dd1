"""Brokers for the tests: the embedded one by default, a real Apache Kafka when the environment names one.

KAFKA_HOME: a Kafka 4.x distribution, started and stopped here. STREAMRNN_TEST_BOOTSTRAP: one that runs.
"""

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from streamrnn.config import Settings
from streamrnn.demo.embedded_broker import EmbeddedBroker
from streamrnn.kafka.admin import create_topic
from streamrnn.nn.bundle import save_bundle
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec

SettingsFactory = Callable[..., Awaitable[Settings]]
TopicFactory = Callable[..., Awaitable[str]]

KEEP_ALL = "log.retention.ms=-1"
"""Tests write records of years ago, which a broker would delete after its first look at retention."""
_PROPERTIES = """
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


@pytest.fixture(scope="session")
def embedded() -> Iterator[str]:
    """Address of the embedded broker."""
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Apache Kafka."""
    if given := os.environ.get("STREAMRNN_TEST_BOOTSTRAP"):
        yield given
        return
    with real_kafka(kafka_home(), tmp_path_factory.mktemp("kafka") / "cluster", KEEP_ALL) as bootstrap:
        yield bootstrap


def kafka_home(*scripts: str) -> Path:
    """The distribution to start brokers from; the test is skipped without it, Java, or one of `scripts`."""
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("no real Kafka: set KAFKA_HOME or STREAMRNN_TEST_BOOTSTRAP")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("KAFKA_HOME is set and there is no Java")
    for script in scripts:
        if not (Path(home) / script).exists():
            pytest.skip(f"KAFKA_HOME has no script named {script}")
    return Path(home)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model on disk."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("models") / "toy"
    spec = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=8)
    save_bundle(Model(spec), folder)
    return folder


_EMBEDDED = pytest.param("embedded", id="embedded")
_REAL = pytest.param("kafka", id="kafka", marks=pytest.mark.kafka)
embedded_only = pytest.mark.parametrize("bootstrap", [_EMBEDDED], indirect=True)
real_only = pytest.mark.parametrize("bootstrap", [_REAL], indirect=True)


@pytest.fixture(params=[_EMBEDDED, _REAL])
def bootstrap(request: pytest.FixtureRequest) -> str:
    """Each broker in turn."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture
def topic(bootstrap: str) -> TopicFactory:
    """Create a topic with a name of its own."""

    async def create(partitions: int = 2, prefix: str = "ticks") -> str:
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        await create_topic(Settings(kafka={"bootstrap": bootstrap}).kafka, name, partitions)
        return name

    return create


@pytest.fixture
def settings(request: pytest.FixtureRequest, bootstrap: str, topic: TopicFactory) -> SettingsFactory:
    """Settings for the test's broker and a fresh input topic; sections as keyword dictionaries."""
    is_embedded = "embedded" in request.node.callspec.id

    async def make(partitions: int = 2, **sections: dict[str, Any]) -> Settings:
        name = sections.get("input", {}).get("topic") or await topic(partitions)
        defaults: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap": bootstrap,
                "group": f"group-{name}",
                "acks_idempotent": not is_embedded,
                "session_timeout_ms": 2000,
                "heartbeat_interval_ms": 300,
                "rebalance_timeout_ms": 2000,
                "request_timeout_ms": 10_000,
            },
            "input": {"topic": name},
            "output": {"topic": f"{name}-out"},
            "http": {"port": 0},
        }
        return Settings(**{part: defaults.get(part, {}) | sections.get(part, {}) for part in defaults | sections})

    return make


@contextmanager
def real_kafka(home: Path, folder: Path, *properties: str, **environment: str) -> Iterator[str]:
    """One broker from a Kafka distribution, ended at exit; `start` and `stop` scripts are used if it has them."""
    if (home / "start").exists():
        env = os.environ | environment
        started = _run([home / "start", folder, "1", *properties], env)
        try:
            yield started.strip().splitlines()[-1]
        finally:
            _run([home / "stop", folder])
    else:
        yield from _official(home, folder, properties)


def _official(home: Path, folder: Path, properties: tuple[str, ...]) -> Iterator[str]:
    folder.mkdir(parents=True)
    port, controller = _free_ports(2)
    config = folder / "server.properties"
    text = _PROPERTIES.format(port=port, controller=controller, data=folder / "data")
    config.write_text("\n".join([text, *properties]))
    storage = home / "bin" / "kafka-storage.sh"
    cluster = _run([storage, "random-uuid"]).strip()
    _run([storage, "format", "-t", cluster, "-c", config])
    with (folder / "log").open("wb") as log:
        server = [str(home / "bin" / "kafka-server-start.sh"), str(config)]
        process = subprocess.Popen(server, stdout=log, stderr=log)
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _run(command: list[Any], env: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, timeout=90, env=env).stdout


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        assert process.poll() is None, "Kafka ended while starting"
        time.sleep(0.2)
    raise TimeoutError(f"no Kafka on port {port}")

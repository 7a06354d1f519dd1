"""A real Apache Kafka that can be killed, frozen and cut off. Knows no worker.

Workers come in through proxies, one listener each; the tests themselves and the broker's own requests do not.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.proxy import Proxy
from tests.kafka.conftest import KEEP_ALL, _free_ports, kafka_home

QUICK = (
    KEEP_ALL,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    "message.max.bytes=6000000",
    "replica.fetch.max.bytes=6000000",
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
)
"""A transaction that nobody ends is aborted soon after its timeout, 5 MB records exist, and a broker that returns
need not wait long until its ghost is gone."""


class Broker:
    """One broker of a cluster in `folder`; `direct` and `proxied` are addresses for clients."""

    def __init__(self, home: Path, folder: Path, direct: str, proxies: list[Proxy]) -> None:
        self.direct, self.proxies = direct, proxies
        self._home, self._folder = home, folder

    def proxied(self, number: int = 0) -> str:
        """The address behind a proxy."""
        return f"127.0.0.1:{self.proxies[number].port}"

    def signal(self, number: signal.Signals, broker: int = 0) -> None:
        """Send one to the broker's process."""
        os.kill(int((self._folder / f"{broker}.pid").read_text()), number)

    async def ended(self, broker: int = 0) -> None:
        """Wait until its process is gone."""
        pid = int((self._folder / f"{broker}.pid").read_text())
        async with asyncio.timeout(60):
            while _is_running(pid):
                await asyncio.sleep(0.1)

    async def restart(self, broker: int = 0) -> None:
        """Start it again on its ports and data, and wait until it listens."""
        command = [str(self._home / "restart"), str(self._folder), str(broker)]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=90)

    def calm(self) -> None:
        """No fault of the network from now on."""
        for proxy in self.proxies:
            proxy.calm()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@contextmanager
def one_broker(folder: Path, proxies: int = 2, *properties: str) -> Iterator[Broker]:
    """One broker with `proxies` listeners behind a proxy each."""
    home = kafka_home("start", "restart", "stop")
    direct, internal, controller, *ports = _free_ports(3 + 2 * proxies)
    hidden, shown = ports[:proxies], ports[proxies:]
    names = [f"P{number}" for number in range(proxies)]
    own = [("PLAINTEXT", direct), ("INTERNAL", internal)]
    listeners = [*own, *zip(names, hidden, strict=True), ("CONTROLLER", controller)]
    advertised = [*own, *zip(names, shown, strict=True)]
    lines = (
        f"listeners={_addresses(listeners)}",
        f"advertised.listeners={_addresses(advertised)}",
        f"listener.security.protocol.map={','.join(f'{name}:PLAINTEXT' for name, _ in listeners)}",
        "inter.broker.listener.name=INTERNAL",
        f"controller.quorum.voters=0@127.0.0.1:{controller}",
    )
    made = [Proxy(upstream, port) for upstream, port in zip(hidden, shown, strict=True)]
    try:
        _script(home / "start", folder, "1", *QUICK, *lines, *properties)
        for proxy in made:
            proxy.start()
        yield Broker(home, folder, f"127.0.0.1:{direct}", made)
    finally:
        for proxy in made:
            proxy.stop()
        _script(home / "stop", folder)


@contextmanager
def three_brokers(folder: Path, *properties: str) -> Iterator[Broker]:
    """A cluster of three, replication 3, min.insync 2; without proxies."""
    home = kafka_home("start", "restart", "stop")
    try:
        said = _script(home / "start", folder, "3", *QUICK, *properties)
        yield Broker(home, folder, said.strip().splitlines()[-1], [])
    finally:
        _script(home / "stop", folder)


def _addresses(listeners: list[tuple[str, int]]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners)


def _script(script: Path, folder: Path, *arguments: str) -> str:
    command = [str(script), str(folder), *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, timeout=120).stdout

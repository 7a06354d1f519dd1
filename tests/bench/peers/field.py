"""Who runs beside us: how each is started, what it needs, and what was chosen for it. Runs nothing itself."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from streamrnn.bench.job import Job, make_settings
from tests.bench.peers.net import Task


class Contestant(NamedTuple):
    """One row of the table.

    words: what starts it, of the peers' interpreter and its task. chosen: how it is done, for the table. needs:
    modules that it imports, under the peers' interpreter. given: what its standard input is told. says: whether its
    output is predictions, to be checked.
    """

    name: str
    words: Callable[[str, Task], list[str]]
    chosen: str
    needs: tuple[str, ...] = ()
    given: Callable[[Task], bytes] = lambda task: b""
    says: bool = True


def _module(name: str) -> Callable[[str, Task], list[str]]:
    """A peer: a module of this folder, told its task in JSON."""
    return lambda python, task: [python, "-m", f"tests.bench.peers.{name}", msgspec.json.encode(task).decode()]


def _serve(guarantee: str) -> Callable[[str, Task], list[str]]:
    """Ours: the daemon as a user starts it, its model from a registry in the task's folder."""

    def words(python: str, task: Task) -> list[str]:
        options = {
            "kafka.bootstrap": task.bootstrap,
            "kafka.group": task.output,
            "input.topic": task.topic,
            "input.warmup_ticks": "0",
            "output.topic": task.output,
            "model.registry": f"{task.folder}/models",
            "model.name": "bench",
            "delivery.guarantee": guarantee,
            "http.enabled": "false",
        }
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [sys.executable, "-m", "streamrnn", "serve", *flags]

    return words


def relay_output(topic: str) -> str:
    """Where the bench's relay writes, which chooses for itself."""
    return make_settings(Job(role="relay", bootstrap="", topic=topic, ticks=1, limit_s=1.0)).output.topic


def _relay_job(task: Task) -> bytes:
    job = Job(role="relay", bootstrap=task.bootstrap, topic=task.topic, idempotent=True, ticks=10**9, limit_s=1e9)
    return msgspec.json.encode(job) + b"\n"


FIELD = (
    Contestant("streamrnn", _serve("at_least_once"), "`streamrnn serve`, its defaults"),
    Contestant("streamrnn, exactly once", _serve("exactly_once"), "the same, a transaction each 100 ms"),
    Contestant(
        "bare relay",
        lambda python, task: [sys.executable, "-m", "streamrnn.bench.child"],
        "no model: aiokafka's getmany -> send_batch",
        given=_relay_job,
        says=False,
    ),
    Contestant(
        "loop by hand, batched",
        _module("by_hand_batched"),
        "librdkafka, 10,000 messages at once, msgspec, waves through index_select + nn.GRUCell + index_copy_",
        ("confluent_kafka",),
    ),
    Contestant(
        "loop by hand",
        _module("by_hand"),
        "librdkafka, one message at a time, msgspec, nn.GRUCell, a dict of states",
        ("confluent_kafka",),
    ),
    Contestant(
        "Bytewax",
        _module("with_bytewax"),
        "stateful_batch: nn.GRU over a key's ticks of a batch of 10,000; no recovery store",
        ("bytewax",),
    ),
    Contestant(
        "Quix Streams",
        _module("with_quix"),
        "stateful apply, one message at a time, the state as bytes in RocksDB; no changelog topic",
        ("quixstreams",),
    ),
    Contestant(
        "Faust",
        _module("with_faust"),
        "an agent that takes 4,000 ticks at once, waves through nn.GRUCell; a Table in memory and its changelog",
        ("faust",),
    ),
)

"""What a supervisor counts, and one exposition made of its own and its workers'. Knows no process."""

import re
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streamrnn.metrics.counters import Counters
from streamrnn.metrics.declared import OF_RETRAINING, OF_WORKERS

END = "# EOF"
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class WorkerCounts(Counters):
    """Which workers are up, how often each was begun anew, and the retrain jobs."""

    def __init__(self, workers: Iterable[int]) -> None:
        super().__init__(OF_WORKERS + OF_RETRAINING)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for number in workers:
            self._set("streamrnn_worker_restarts_total", 0.0, str(number))

    def restarted(self, number: int) -> None:
        """A worker was begun anew."""
        self._add("streamrnn_worker_restarts_total", 1.0, str(number))

    def restarts(self, number: int) -> int:
        """How often a worker was begun anew."""
        return int(self._values["streamrnn_worker_restarts_total"][str(number),])

    def up(self, number: int, is_up: bool) -> None:
        """Whether a worker answers."""
        self._set("streamrnn_worker_up", float(is_up), str(number))

    def text(self, form: str) -> bytes:
        """The exposition, in a form of `form_of`."""
        text: bytes = choose_encoder(form)[0](self._registry)
        return text


def form_of(accept: str) -> str:
    """The form of an exposition that is meant by an Accept header; the common one by one that nobody can read."""
    try:
        form: str = choose_encoder(accept)[1]
    except (TypeError, ValueError):
        form = choose_encoder("")[1]
    return form


def merged(own: bytes, workers: Mapping[int, bytes]) -> bytes:
    """One exposition of several: every sample of a worker has a label that says which.

    A family that the supervisor counts itself is its own alone.
    """
    families = dict(_families(own))
    mine = frozenset(families)
    for number, text in workers.items():
        for name, lines in _families(text):
            if name in mine:
                continue
            told = families.setdefault(name, [line for line in lines if line.startswith("#")])
            told += [_labelled(line, number) for line in lines if not line.startswith("#")]
    end = [END] if own.rstrip().endswith(END.encode()) else []
    return "\n".join([*(line for lines in families.values() for line in lines), *end, ""]).encode()


def _families(text: bytes) -> Iterator[tuple[str, list[str]]]:
    """The lines of each metric, which begin with those of its help, by its name."""
    name, lines = "", list[str]()
    for line in text.decode().split("\n"):
        if line.startswith("# HELP "):
            if lines:
                yield name, lines
            name, lines = line.split(" ", 3)[2], []
        if line and line != END:
            lines.append(line)
    if lines:
        yield name, lines


def _labelled(sample: str, number: int) -> str:
    found = _NAME.match(sample)
    assert found is not None, "a sample begins with its name"
    name, rest = found[0], sample[found.end() :]
    label = f'worker="{number}"'
    return f"{name}{{{label},{rest[1:]}" if rest.startswith("{") else f"{name}{{{label}}}{rest}"

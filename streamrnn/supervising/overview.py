"""What all workers say, as one daemon's answer. Asks each over its socket; knows no process but by number.

A partition's rows stay with a worker for a while after the partition has left it. Where another worker owns the
partition, that one's rows are the ones to show.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from streamrnn.errors import DataError, NotInTime
from streamrnn.http.unix_client import Reply, ask
from streamrnn.http.workers import Exposed
from streamrnn.metrics import WorkerCounts, form_of, merged
from streamrnn.process.seats import Seat
from streamrnn.supervising.crew import Crew

ASK_S = 3.0
MOST_ASKED = 32
"""Asked at once: each worker takes a bounded number of connections."""
SUMS = ("streams", "parked", "evicted", "slab_bytes")


class Told(NamedTuple):
    """What a worker is, from its /status; nothing of that where it does not answer."""

    number: int
    pid: int | None
    restarts: int
    said: Mapping[str, Any]
    why: str

    @property
    def partitions(self) -> dict[str, str]:
        """The phase of each partition that it owns."""
        found: dict[str, str] = self.said.get("partitions", {})
        return found

    def row(self) -> dict[str, Any]:
        """For JSON."""
        of_it = {"worker": self.number, "pid": self.pid, "restarts": self.restarts, "partitions": self.partitions}
        return of_it | {name: self.said.get(name) for name in ("ready", "uptime_s")} | {"reason": self.why}


class Overview:
    """Answers for a crew."""

    def __init__(
        self, seats: Sequence[Seat], crew: Crew, counts: WorkerCounts, guarantee: str, ask_s: float = ASK_S
    ) -> None:
        self._seats, self._crew, self._counts, self._guarantee = seats, crew, counts, guarantee
        self._ask_s = ask_s
        self._asking = asyncio.Semaphore(MOST_ASKED)

    async def alive(self) -> tuple[bool, str]:
        """Whether every loop still turns; a worker that has no process yet is not one that has stalled."""
        running = [seat for seat in self._seats if self._crew.pid(seat.number) is not None and seat.socket.exists()]
        answers = await asyncio.gather(*(self._ask(seat, "/livez") for seat in running))
        stalled = [
            f"worker {seat.number}: {_text(answer)}"
            for seat, answer in zip(running, answers, strict=True)
            if (answer is None or answer.status != 200) and self._crew.pid(seat.number) is not None
        ]
        return not stalled, "; ".join(stalled) or "ok"

    async def ready(self) -> tuple[bool, str]:
        """Whether all are, and who is not and why."""
        waiting = [f"worker {each.number}: {each.why}" for each in await self._told() if not each.said.get("ready")]
        return not waiting, "; ".join(waiting) or "ok"

    async def metrics(self, accept: str) -> Exposed:
        """The exposition of all, each sample of a worker with its number."""
        form = form_of(accept)
        texts = {}
        for number, answer in (await self._all("/metrics", form)).items():
            self._counts.up(number, answer is not None)
            if answer is not None:
                texts[number] = answer.body
        return Exposed(form, merged(self._counts.text(form), texts))

    async def status(self) -> dict[str, Any]:
        """As one worker's, sums and all partitions, and each worker's own."""
        told = await self._told()
        first = next((each.said for each in told if each.said.get("model")), {})
        waiting = [f"worker {each.number}: {each.why}" for each in told if not each.said.get("ready")]
        return {
            "model": first.get("model"),
            "device": first.get("device"),
            **{name: sum(each.said.get(name, 0) for each in told) for name in SUMS},
            "ready": not waiting,
            "reason": "; ".join(waiting) or "ok",
            "partitions": {number: phase for each in told for number, phase in each.partitions.items()},
            "features_missing": _worst(each.said.get("features_missing", {}) for each in told),
            "guarantee": self._guarantee,
            "uptime_s": max((each.said.get("uptime_s") or 0.0 for each in told), default=0.0),
            "workers": [each.row() for each in told],
        }

    async def streams(self, limit: int, prefix: str) -> list[dict[str, Any]]:
        """Up to `limit` resident streams whose shown key begins so, by partition."""
        target = "/streams?" + urlencode({"limit": limit, "prefix": prefix})
        answers, owners = await asyncio.gather(self._all(target), self._owners())
        rows = [
            row
            for number, answer in answers.items()
            if answer is not None and answer.status == 200
            for row in json.loads(answer.body)
            if owners.get(row["partition"], number) == number
        ]
        return sorted(rows, key=lambda row: int(row["partition"]))[:limit]

    async def stream(self, stream: str, partition: int | None) -> dict[str, Any] | None:
        """What the worker holds that owns the stream's partition; NotInTime where one that may be it is silent."""
        target = f"/streams/{quote(stream, safe='')}" + ("" if partition is None else f"?partition={partition}")
        answers, owners = await asyncio.gather(self._all(target), self._owners())
        heard = {number: answer for number, answer in answers.items() if answer is not None}
        for number, answer in heard.items():
            said: dict[str, Any] = json.loads(answer.body) if answer.status in (200, 400) else {}
            if answer.status == 400:
                raise DataError(said["error"])
            if said and owners.get(said["partition"], number) == number:
                return said
        silent = [f"worker {number} does not answer" for number in answers if number not in heard]
        if silent:
            raise NotInTime("; ".join(silent))
        return None

    async def _owners(self) -> dict[int, int]:
        """Which worker owns a partition."""
        return {int(partition): each.number for each in await self._told() for partition in each.partitions}

    async def _told(self) -> list[Told]:
        answers = await self._all("/status")
        return [self._of(number, answer) for number, answer in answers.items()]

    def _of(self, number: int, answer: Reply | None) -> Told:
        said = {} if answer is None else json.loads(answer.body)
        pid = self._crew.pid(number)
        silence = self._crew.why(number) if pid is None else "it does not answer"
        return Told(number, pid, self._counts.restarts(number), said, said.get("reason", silence))

    async def _all(self, target: str, accept: str = "*/*") -> dict[int, Reply | None]:
        """Every worker's answer; None where there is none in time, or only that the worker cannot give one."""
        answers = await asyncio.gather(*(self._ask(seat, target, accept) for seat in self._seats))
        heard = [None if answer is None or answer.status >= 500 else answer for answer in answers]
        return {seat.number: answer for seat, answer in zip(self._seats, heard, strict=True)}

    async def _ask(self, seat: Seat, target: str, accept: str = "*/*") -> Reply | None:
        try:
            async with asyncio.timeout(self._ask_s), self._asking:
                return await ask(seat.socket, target, accept)
        except OSError:  # TimeoutError is one
            return None


def _text(answer: Reply | None) -> str:
    return "it does not answer" if answer is None else answer.body.decode(errors="replace").strip()


def _worst(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """By feature, what the worker says that misses it most."""
    worst: dict[str, Any] = {}
    for each in found:
        for feature, said in each.items():
            if feature not in worst or said.get("share", 0) > worst[feature].get("share", 0):
                worst[feature] = said
    return worst

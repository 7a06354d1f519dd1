"""The lives of workers that are none: begun, begun anew, ended together, killed when they do not end."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamrnn.metrics import WorkerCounts
from streamrnn.process.seats import Seat
from streamrnn.supervising.crew import LAUNCH_FAILED, Crew
from streamrnn.supervising.restarts import Patience

QUICK = Patience(first_s=0.01, longest_s=0.02, steady_s=60.0, most=4)
SOON_S = 10.0
pids = itertools.count(100)


class Fake:
    """A worker that ends with `code` by itself, or when it is told to unless it is deaf."""

    def __init__(self, code: int | None = None, is_deaf: bool = False, at_end: int = 0) -> None:
        self.pid, self._is_deaf, self._at_end = next(pids), is_deaf, at_end
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.was_told = self.was_killed = False
        if code is not None:
            self.leave(code)

    def leave(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    async def ended(self) -> int:
        return await asyncio.shield(self._code)

    def end(self) -> None:
        self.was_told = True
        if not self._is_deaf:
            self.leave(self._at_end)

    def kill(self) -> None:
        self.was_killed = True
        self.leave(137)


class Place:
    """What begins fakes: each seat has its lives, the last one for ever; None cannot be begun."""

    def __init__(self, folder: Path, lives: Sequence[Sequence[Fake | None]], longest_s: float = 5.0) -> None:
        self.seats = [Seat(number, folder) for number in range(len(lives))]
        self.counts = WorkerCounts(range(len(lives)))
        self.begun: list[int] = []
        self._lives = [list(each) for each in lives]
        self.crew = Crew(self.seats, self._launch, longest_s, self.counts, QUICK)
        self.stop = asyncio.Event()

    async def _launch(self, seat: Seat) -> Fake:
        self.begun.append(seat.number)
        lives = self._lives[seat.number]
        fake = lives.pop(0) if len(lives) > 1 else lives[0]
        if fake is None:
            raise BlockingIOError("no more processes")
        return fake

    async def run(self) -> int:
        async with asyncio.timeout(SOON_S):
            return await self.crew.run(self.stop)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(SOON_S):
            while len(self.begun) < count:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.01)


async def test_all_are_told_to_end_when_the_daemon_is(tmp_path: Path) -> None:
    fakes = [Fake(), Fake(), Fake()]
    place = Place(tmp_path, [[fake] for fake in fakes])
    running = asyncio.create_task(place.run())
    await place.until_begun(3)
    assert [place.crew.pid(number) for number in range(3)] == [fake.pid for fake in fakes]
    place.stop.set()
    assert await running == 0
    assert all(fake.was_told and not fake.was_killed for fake in fakes)
    assert place.crew.pid(0) is None


async def test_the_exit_code_is_the_first_workers_that_is_not_0(tmp_path: Path) -> None:
    place = Place(tmp_path, [[Fake()], [Fake(at_end=5)], [Fake(at_end=4)]])
    running = asyncio.create_task(place.run())
    await place.until_begun(3)
    place.stop.set()
    assert await running == 5


async def test_one_that_does_not_end_in_time_is_killed_and_the_others_are_not(tmp_path: Path) -> None:
    deaf, good = Fake(is_deaf=True), Fake()
    place = Place(tmp_path, [[good], [deaf]], longest_s=0.05)
    running = asyncio.create_task(place.run())
    await place.until_begun(2)
    place.stop.set()
    assert await running == 137
    assert (good.was_killed, deaf.was_killed) == (False, True)


async def test_one_that_dies_is_begun_anew_and_counted_while_the_others_go_on(tmp_path: Path) -> None:
    good, last = Fake(), Fake()
    place = Place(tmp_path, [[good], [Fake(137), None, Fake(0), last]])
    running = asyncio.create_task(place.run())
    await place.until_begun(5)
    assert (place.crew.pid(0), place.crew.pid(1)) == (good.pid, last.pid)
    assert [place.counts.restarts(number) for number in (0, 1)] == [0, 3]
    assert not good.was_told
    place.stop.set()
    assert await running == 0


@pytest.mark.parametrize("code", [2, 3, 6, 7])
async def test_an_end_that_would_come_back_is_the_end_of_all(tmp_path: Path, code: int) -> None:
    good = Fake()
    place = Place(tmp_path, [[good], [Fake(code)]])
    assert await place.run() == code
    assert good.was_told
    assert place.begun == [0, 1]


async def test_one_that_dies_again_and_again_is_the_end_of_all(tmp_path: Path) -> None:
    good = Fake()
    place = Place(tmp_path, [[good], [Fake(4)]])
    assert await place.run() == 4
    assert place.begun == [0, *[1] * QUICK.most]
    assert good.was_told


async def test_one_that_cannot_be_begun_is_one_that_failed(tmp_path: Path) -> None:
    place = Place(tmp_path, [[Fake()], [None]])
    assert await place.run() == LAUNCH_FAILED


async def test_a_stop_does_not_wait_for_a_pause_and_begins_nobody(tmp_path: Path) -> None:
    place = Place(tmp_path, [[Fake(137)]])
    place.crew = Crew(place.seats, place._launch, 5.0, place.counts, Patience(first_s=60.0))
    running = asyncio.create_task(place.run())
    await place.until_begun(1)
    assert "exit code 137" in place.crew.why(0)
    place.stop.set()
    assert await running == 0
    assert place.begun == [0]


async def test_a_crew_that_is_given_up_ends_its_workers(tmp_path: Path) -> None:
    fakes = [Fake(), Fake()]
    place = Place(tmp_path, [[fake] for fake in fakes])
    running = asyncio.create_task(place.run())
    await place.until_begun(2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all(fake.was_told for fake in fakes)


async def test_the_others_wait_until_the_first_has_compiled(tmp_path: Path) -> None:
    place = Place(tmp_path, [[Fake()], [Fake()]])
    running = asyncio.create_task(place.run())
    await place.until_begun(2)
    first, second = (seat.turn for seat in place.seats)
    assert (first.is_come, second.is_come) == (True, False)
    waiting = asyncio.create_task(second.come())
    second.pass_on()
    await asyncio.sleep(0.1)
    assert not waiting.done()
    first.pass_on()
    async with asyncio.timeout(SOON_S):
        await waiting
    place.stop.set()
    await running


async def test_the_others_need_not_wait_for_a_first_that_has_died(tmp_path: Path) -> None:
    place = Place(tmp_path, [[Fake(137), Fake()], [Fake()]])
    running = asyncio.create_task(place.run())
    await place.until_begun(3)
    assert place.seats[1].turn.is_come
    place.stop.set()
    assert await running == 0

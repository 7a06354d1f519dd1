"""The engine's one thread: who may call, in which order, and where a failure shows that nobody waited for."""

import asyncio
import logging
import threading

import pytest

from streamrnn.engine.engine import Engine
from streamrnn.engine.thread import EngineThread
from streamrnn.errors import EngineError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec

PATIENCE_S = 10


@pytest.fixture
def thread() -> EngineThread:
    spec = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=4)
    return EngineThread(Engine(Model(spec), max_streams=4, device="cpu", executor="blocks"))


def test_calls_by_other_threads_are_refused(thread: EngineThread) -> None:
    engine = thread.engine
    with pytest.raises(EngineError, match=r"Engine.settle is called by thread MainThread"):
        engine.settle(0)
    with pytest.raises(EngineError, match=r"Engine.capture is called"):
        engine.capture(0, True)
    assert engine.resident == engine.parked == 0, "counters may be read by any"

    async def use() -> None:
        assert await thread.call(engine.undo) == set()
        capture = await thread.call(engine.capture, 0, full=True)
        with pytest.raises(EngineError, match=r"Capture.take_soon is called"):
            capture.take_soon(1)
        assert await thread.call(capture.take_soon, 1) is None
        assert await thread.call(capture.confirm)

    with thread:
        asyncio.run(use())


def test_calls_and_posts_run_one_by_one_in_their_order(thread: EngineThread) -> None:
    done, go_on, names = list[int](), threading.Event(), set[str]()

    def note(number: int) -> int:
        if not number:
            assert go_on.wait(PATIENCE_S)
        names.add(threading.current_thread().name)
        done.append(number)
        return -number

    async def use() -> None:
        answers = []
        for number in range(0, 20, 2):
            answers.append(thread.call(note, number))
            thread.post(note, number + 1)
        assert not done, "nobody has waited"
        go_on.set()
        assert await asyncio.gather(*answers) == [-number for number in range(0, 20, 2)]

    with thread:
        asyncio.run(use())
        thread.post(note, 20)
        flushed = threading.Event()
        thread.post(flushed.set)
        assert flushed.wait(PATIENCE_S)
    assert done == list(range(21))
    assert [name.partition("_")[0] for name in names] == ["engine"]


def test_a_failure_goes_to_who_awaits_the_call_and_the_next_call_runs(thread: EngineThread) -> None:
    async def use() -> None:
        with pytest.raises(EngineError, match="1 steps are to be settled"):
            await thread.call(thread.engine.settle, 1)
        assert await thread.call(len, b"abc") == 3

    with thread:
        asyncio.run(use())


def test_a_post_that_fails_is_the_last_that_runs(thread: EngineThread) -> None:
    done = list[str]()

    async def use() -> None:
        thread.post(thread.engine.settle, 1)
        thread.post(done.append, "post")
        for _ in range(2):
            with pytest.raises(EngineError, match="1 steps are to be settled"):
                await thread.call(done.append, "call")

    with thread:
        asyncio.run(use())
    assert not done


def test_a_failure_that_no_call_followed_is_logged_at_the_end(
    thread: EngineThread, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise EngineError("the device is gone")

    with thread, caplog.at_level(logging.ERROR):
        thread.post(fail)
        assert failed.wait(PATIENCE_S)
    assert "the device is gone" in caplog.text


def test_a_call_that_is_cancelled_before_its_turn_never_runs(thread: EngineThread) -> None:
    done, go_on = list[str](), threading.Event()

    async def use() -> None:
        thread.post(go_on.wait, PATIENCE_S)
        cancelled, kept = thread.call(done.append, "cancelled"), thread.call(done.append, "kept")
        cancelled.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await kept

    with thread:
        asyncio.run(use())
    assert done == ["kept"]


def test_closing_waits_only_if_told_to_and_runs_nothing_more(thread: EngineThread) -> None:
    done, entered, go_on = list[str](), threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        done.append("hung")

    thread.post(hang)
    thread.post(done.append, "never")
    assert entered.wait(PATIENCE_S)
    thread.close()
    assert not done
    go_on.set()
    thread.close(wait=True)
    assert done == ["hung"]


def test_an_idle_engine_is_lent_to_the_thread_that_calls(thread: EngineThread) -> None:
    engine, go_on = thread.engine, threading.Event()

    async def use() -> None:
        thread.post(go_on.wait, PATIENCE_S)
        assert not thread.is_idle
        with pytest.raises(AssertionError, match="one at a time"):
            thread.call_here(engine.undo)
        go_on.set()
        await thread.call(len, b"")
        assert thread.is_idle
        assert thread.call_here(engine.undo).result() == set()
        with pytest.raises(EngineError, match="is called by thread MainThread"):
            engine.undo()
        with pytest.raises(ZeroDivisionError):
            await thread.call_here(divmod, 1, 0)
        with pytest.raises(EngineError, match="is called by thread MainThread"):
            engine.undo()
        assert await thread.call(engine.undo) == set()

    with thread:
        asyncio.run(use())


def test_a_failure_of_a_post_is_told_to_the_thread_that_borrows_the_engine(thread: EngineThread) -> None:
    async def use() -> None:
        thread.post(thread.engine.settle, 1)
        while not thread.is_idle:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineError):
            await thread.call_here(len, b"abc")

    asyncio.run(use())
    thread.close(wait=True)

"""What lies on disk while a command works is gone, at whichever step of the main thread a signal raises."""

import dis
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from streamrnn.process.scratch import ScratchFolder, ScratchPath
from streamrnn.tables.sorting import Sorter
from streamrnn.train.history import Spool

OURS = ("scratch.py", "history.py", "sorting.py", "weakref.py", "pathlib.py", "contextlib.py")
CHECKS = ("RESUME", "CALL", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")
"""Begins of the bytecodes after which the interpreter looks whether a signal came."""
MOST_STEPS = 5000


def hold_a_folder() -> None:
    with ScratchFolder("streamrnn-") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch()


def hold_a_file() -> None:
    with ScratchPath(Path(os.environ["TMPDIR"]) / "streamrnn-draft") as draft:
        draft.touch()


def spool() -> None:
    with Spool(("x",), Path(os.environ["TMPDIR"])):
        pass


def sort() -> None:
    with closing(Sorter(1)):
        pass


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the system keeps temporary files, for the test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@contextmanager
def raising_at(step: int, kind: type[BaseException]) -> Iterator[list[int]]:
    """Raise at the step-th place of the code that makes and removes where a signal could; gives those passed."""
    passed = [0]

    def enter(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.endswith(OURS):
            return None
        frame.f_trace_opcodes, last = True, "RESUME"

        def move(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "exception":
                last = ""
            elif event == "opcode":
                passed[0] += last.startswith(CHECKS)
                if passed[0] == step:
                    sys.settrace(None)
                    raise kind
                last = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            return move

        return move

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield passed
    finally:
        sys.settrace(before)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("hold", [hold_a_folder, hold_a_file, spool, sort])
def test_nothing_stays_whichever_step_is_interrupted(
    hold: Callable[[], None], kind: type[BaseException], temporary: Path
) -> None:
    hold()
    for step in range(1, MOST_STEPS):
        with suppress(kind), raising_at(step, kind) as passed:
            hold()
        assert list(temporary.iterdir()) == [], f"interrupted at step {step}"
        if passed[0] < step:
            break
    assert 50 < passed[0] < step < MOST_STEPS - 1


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_a_removal_that_is_interrupted_begins_again_and_the_interruption_is_raised(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], times: int
) -> None:
    unlink, left = Path.unlink, times

    def interrupted(path: Path) -> None:
        nonlocal left
        unlink(path)
        if left:
            left -= 1
            raise kind(130)

    monkeypatch.setattr(Path, "unlink", interrupted)
    scratch = ScratchFolder("streamrnn-")
    for number in range(2 * times):
        (scratch.path / str(number)).touch()
    with pytest.raises(kind, match="130"):
        scratch.remove()
    assert left == 0
    assert not scratch.path.exists()


def test_what_was_renamed_stays(tmp_path: Path) -> None:
    with ScratchFolder("streamrnn-") as folder:
        folder.rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_made_is_an_error_and_another_of_its_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        ScratchFolder("streamrnn-", tmp_path / "absent")
    monkeypatch.setattr("uuid.uuid4", lambda: type("Same", (), {"hex": "same"}))
    (tmp_path / "streamrnn-same").mkdir()
    with pytest.raises(FileExistsError):
        ScratchFolder("streamrnn-", tmp_path)
    gc.collect()
    assert (tmp_path / "streamrnn-same").is_dir()


def test_a_folder_is_for_its_user_alone() -> None:
    with ScratchFolder("streamrnn-") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_removed_is_told_and_hides_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    def fail() -> None:
        with ScratchFolder("streamrnn-"):
            monkeypatch.setattr(Path, "rmdir", refuse)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    (left,) = tmp_path.iterdir()
    assert f"{left} stays: Operation not permitted" in caplog.text


SPOOLS = """
import os, random, signal, sys, threading, time
from contextlib import suppress
from pathlib import Path
import numpy as np
from streamrnn.train.history import Spool

signal.signal(signal.SIGINT, signal.default_int_handler)
folder, chance, interrupted = Path(sys.argv[1]), random.Random(1), 0

def spool():
    with Spool(("x",), folder) as spool:
        spool.add(["a"] * 100, np.arange(100), np.zeros((100, 1)))
        spool.history()

began = time.perf_counter()
for _ in range(20):
    spool()
each_s = (time.perf_counter() - began) / 20
for number in range(300):
    came = threading.Event()
    def interrupt(after_s=chance.uniform(0.0, 1.3) * each_s):
        time.sleep(after_s)
        os.kill(os.getpid(), signal.SIGINT)
        came.set()
    try:
        thread = threading.Thread(target=interrupt)
        thread.start()
        spool()
        came.wait(10)
        time.sleep(0.01)
    except KeyboardInterrupt:
        interrupted += 1
    thread.join()
    left = list(folder.iterdir())
    assert not left, (number, left)
print(interrupted)
"""


def test_a_process_that_is_interrupted_again_and_again_leaves_no_history(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SPOOLS, str(tmp_path)], capture_output=True, text=True, timeout=90)
    assert (done.returncode, done.stdout) == (0, "300\n"), done.stderr
    assert list(tmp_path.iterdir()) == []

"""A worker's process: what it is given, how it is told to end, and its end when nobody is left to tell it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streamrnn.config import Settings
from streamrnn.process.seats import Seat
from streamrnn.supervising.launching import launch, settings_of

FOLLOWS = """
import asyncio, sys
from streamrnn.process.children import InputEnd
async def main():
    stop = asyncio.Event()
    InputEnd().stops(stop, float(sys.argv[1]))
    print("follows", flush=True)
    await stop.wait()
    print("told", flush=True)
    {then}
asyncio.run(main())
"""
HANGS = """
import sys, time
from pathlib import Path
class Hangs:
    def find_spec(name, *rest):
        if name == "streamrnn.service":
            Path(sys.argv[2], "said").write_text("importing")
            time.sleep(600)
sys.meta_path.insert(0, Hangs)
from streamrnn.supervising.worker_main import main
main()
"""


def test_only_names_that_must_be_its_own_get_a_workers_number() -> None:
    settings = Settings(kafka={"group_instance_id": "site"}, delivery={"transactional_id": "t"})
    own = settings_of(3, settings)
    assert (own.kafka.group_instance_id, own.delivery.transactional_id) == ("site-3", "t-3")
    assert settings_of(3, Settings()) == Settings()
    assert settings.kafka.group_instance_id == "site"


async def test_it_knows_its_seat_has_its_environment_and_ends_with_its_line(tmp_path: Path) -> None:
    program = "import json, os, sys; "
    program += "said = [sys.argv[1:], os.environ['WHO'], os.getsid(0) == os.getpid()]; "
    program += "open(sys.argv[2] + '/said', 'w').write(json.dumps(said)); sys.stdin.read(); sys.exit(4)"
    environment = os.environ | {"WHO": "me"}
    workers = [await launch(Seat(n, tmp_path), environment, [sys.executable, "-c", program]) for n in (0, 1)]
    await asyncio.wait_for(asyncio.to_thread(_until_said, tmp_path / "said"), 20)
    workers[0].end()
    assert await asyncio.wait_for(workers[0].ended(), 20) == 4, "though the second one was begun meanwhile"
    workers[1].kill()
    assert await asyncio.wait_for(workers[1].ended(), 20) == 137
    workers[1].end()
    workers[1].kill()
    numbers = json.loads((tmp_path / "said").read_text())
    assert numbers in ([[str(n), str(tmp_path)], "me", True] for n in (0, 1))


async def test_nobody_is_asked_at_the_socket_that_a_killed_worker_has_left(tmp_path: Path) -> None:
    seat = Seat(0, tmp_path)
    seat.socket.touch()
    worker = await launch(seat, os.environ, [sys.executable, "-c", "import sys; sys.stdin.read()"])
    assert not seat.socket.exists()
    worker.end()
    assert await asyncio.wait_for(worker.ended(), 20) == 0


def _until_said(path: Path) -> None:
    while not (path.exists() and path.read_text()):
        time.sleep(0.02)


async def test_a_program_that_is_not_there_leaves_nothing_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            await launch(Seat(0, tmp_path), os.environ, [str(tmp_path / "none")])
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_the_supervisor_imports_nothing_heavy() -> None:
    program = "import sys, streamrnn.cli, streamrnn.supervising.supervisor as s; "
    program += "print([n for n in ('torch', 'numba', 'aiokafka', 'pyarrow') if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (said.stdout, said.stderr) == ("[]\n", "")


def follow(longest_s: float, then: str) -> tuple[subprocess.Popen[bytes], float]:
    """A process that follows its input; the moment when its input ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWS.format(then=then), str(longest_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"follows\n"
    process.stdin.close()
    process.stdin = None
    return process, time.monotonic()


def test_a_process_whose_line_ends_stops_in_order() -> None:
    process, _ = follow(60.0, "")
    assert process.communicate(timeout=30) == (b"told\n", None)
    assert process.returncode == 0


def test_a_process_that_hangs_after_its_line_has_ended_is_ended() -> None:
    process, _ = follow(0.3, "import time; time.sleep(60)")
    assert process.communicate(timeout=30) == (b"told\n", None)
    assert process.returncode == 5


async def test_a_worker_that_hangs_in_its_imports_ends_with_its_line(tmp_path: Path) -> None:
    worker = await launch(Seat(0, tmp_path), os.environ, [sys.executable, "-c", HANGS])
    await asyncio.wait_for(asyncio.to_thread(_until_said, tmp_path / "said"), 20)
    worker.end()
    assert await asyncio.wait_for(worker.ended(), 20) == 0


def test_before_a_worker_watches_its_line_nothing_heavy_is_imported() -> None:
    program = "import sys, streamrnn.supervising.worker_main; "
    program += "print([n for n in ('pydantic', 'numpy', 'torch', 'numba', 'aiokafka') if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (said.stdout, said.stderr) == ("[]\n", "")

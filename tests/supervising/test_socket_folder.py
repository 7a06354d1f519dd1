"""The folder of the workers' sockets: nobody else's, gone at the end, and no later than at the next start."""

import os
import subprocess
import sys
from pathlib import Path

from streamrnn.supervising.socket_folder import HELD, PREFIX, SocketFolder

KILLED = """
import os, sys
from pathlib import Path
from streamrnn.supervising.socket_folder import SocketFolder
with SocketFolder(Path(sys.argv[1])) as folder:
    (folder / "0.sock").touch()
    os.kill(os.getpid(), 9)
"""


def test_it_is_for_this_user_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with SocketFolder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [path.name for path in folder.iterdir()] == [HELD]
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_what_a_killed_supervisor_has_left_goes_at_the_next_start(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    with SocketFolder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not left.exists()


def test_the_folder_of_one_that_lives_stays(tmp_path: Path) -> None:
    with SocketFolder(tmp_path) as first, SocketFolder(tmp_path) as second:
        assert {first, second} == set(tmp_path.iterdir())


def test_what_is_no_supervisors_stays(tmp_path: Path) -> None:
    others = [tmp_path / f"{PREFIX}{name}" for name in ("file", "link", "empty")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / HELD).touch()
    others[0].touch()
    others[1].symlink_to(elsewhere)
    others[2].mkdir()
    with SocketFolder(tmp_path) as folder:
        assert set(tmp_path.iterdir()) == {*others, elsewhere, folder}
    assert (elsewhere / HELD).exists()

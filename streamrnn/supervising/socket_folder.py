"""Owns the folder of the workers' sockets: it goes with the supervisor, where that was killed at the next start.

A lock on a file in the folder says that its supervisor lives: the system lets go of the lock with the process,
however that ends. Knows no worker.
"""

import fcntl
import os
import stat
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from streamrnn.process.scratch import ScratchFolder, ScratchPath

PREFIX = "streamrnn-serve-"
HELD = "held"


class SocketFolder(ScratchFolder):
    """A new folder for this user alone, in `parent` or where the system keeps temporary files."""

    def __init__(self, parent: Path | None = None) -> None:
        _remove_left(parent or Path(tempfile.gettempdir()))
        super().__init__(PREFIX, parent)
        # Locked before it has the name by which others find it: one that is not locked is of the dead.
        unnamed = self.path / "unnamed"
        lock = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, lock)
        with suppress(OSError):  # a file system without locks: then nobody takes this folder for one that was left
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self.path / HELD)


def _remove_left(parent: Path) -> None:
    """Remove the folders of supervisors that were killed."""
    for path in parent.glob(f"{PREFIX}*"):
        if _is_left(path):
            ScratchPath(path).remove()


def _is_left(path: Path) -> bool:
    """Whether it is a folder of this user whose supervisor is no more; False where that cannot be told."""
    try:
        about = path.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            return False
        lock = os.open(path / HELD, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True

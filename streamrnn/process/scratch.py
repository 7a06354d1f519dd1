"""Owns what lies on disk only while a command works: it is gone at the end, whatever interrupts. Knows no content.

A signal may raise between any two steps of the main thread: inside the removal too, and before a `with` is entered.
"""

import logging
import os
import tempfile
import uuid
import weakref
from pathlib import Path
from types import TracebackType

log = logging.getLogger(__name__)


class ScratchPath:
    """A path, a file's or a folder's, that is not there after the `with`; what was renamed meanwhile stays.

    Where a signal raises so early or late that the `with` does not remove it, the path goes with this object, or
    with the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._removal = weakref.finalize(self, _remove, self.path)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it now; an interruption is raised when it is gone."""
        interruption = _remove(self.path)
        self._removal.detach()  # not before: an interruption between the two must find it
        if interruption is not None:
            try:
                raise interruption
            finally:
                del interruption  # which holds this frame: both would stay until the garbage is collected


class ScratchFolder(ScratchPath):
    """A new folder for this user alone, in `parent` or where the system keeps temporary files."""

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        # Named and bound to go before it is made: an interruption just after finds it bound.
        super().__init__((parent or Path(tempfile.gettempdir())) / f"{prefix}{uuid.uuid4().hex}")
        try:
            self.path.mkdir(0o700)
        except OSError:
            self._removal.detach()
            raise


def _remove(path: Path) -> BaseException | None:
    """Remove a file, or a folder and what it holds, from the beginning again after each interruption: the last."""
    interruption: BaseException | None = None
    while os.path.lexists(path):
        try:
            _erase(path)
        except FileNotFoundError:  # another removes what is in it too
            continue
        except OSError as error:
            log.warning("%s stays: %s", path, error.strerror)
            break
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error.with_traceback(None)
    return interruption


def _erase(path: Path) -> None:
    """Not shutil.rmtree: interrupted, it may close a folder twice, and an OSError hides the interruption."""
    if path.is_dir() and not path.is_symlink():
        for name in os.listdir(path):
            _erase(path / name)
        path.rmdir()
    else:
        path.unlink()

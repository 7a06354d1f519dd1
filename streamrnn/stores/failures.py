"""How files fail: an OSError whose filename says where, whatever a backend raised. Knows no stores."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from streamrnn.errors import NotPlain, StreamrnnError


@contextmanager
def failing_at(place: object) -> Iterator[None]:
    """Make what is raised inside an OSError that names the place. Backends raise whatever their clients raise."""
    try:
        yield
    except (NotPlain, StreamrnnError):
        raise
    except OSError as error:
        absent, denied = isinstance(error, FileNotFoundError), isinstance(error, PermissionError)
        code = error.errno or (errno.ENOENT if absent else errno.EACCES if denied else errno.EIO)
        said = error.strerror or f"{os.strerror(code)} ({error})"
        raise OSError(code, said, str(place)) from error
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", str(place)) from error

"""What a model may be called, and which names are versions. Knows no files."""

import re
from collections.abc import Iterable
from pathlib import Path

from streamrnn.errors import BundleError

LONGEST_NAME_BYTES = 255
NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def is_name(name: str) -> bool:
    """Whether a text can be a model's name: one path part, not beginning with a dot."""
    plain = name.isprintable() and Path(name).name == name and "\\" not in name
    return bool(name) and plain and not name.startswith(".") and len(name.encode()) <= LONGEST_NAME_BYTES


def checked_name(name: str) -> str:
    """The name; BundleError where it can be no model's."""
    if not is_name(name):
        raise BundleError(f"{name!r} is no model name: one path part, not beginning with a dot")
    return name


def version_numbers(names: Iterable[str]) -> list[int]:
    """The versions among names of folders, ascending."""
    return sorted(int(name) for name in names if NUMBER.fullmatch(name))

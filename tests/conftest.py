"""What every test finds and leaves as it was."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def root_logger_as_it_was() -> Iterator[None]:
    """A command run in this process sets where log lines go: to a stream that pytest closes with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)

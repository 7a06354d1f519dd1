"""Owns where one of several workers of a daemon sits: its number, its private socket, its turn to compile.

The folder belongs to the supervisor, and only its user may enter it. Knows no service.
"""

import asyncio
from pathlib import Path
from typing import NamedTuple

LOOK_S = 0.05


class Seat(NamedTuple):
    """The place of a worker beside others."""

    number: int
    folder: Path

    @property
    def socket(self) -> Path:
        """Where the worker answers its supervisor."""
        return self.folder / f"{self.number}.sock"

    @property
    def turn(self) -> "CompileTurn":
        """When the worker may compile."""
        return CompileTurn(self.folder / "compiling", self.number == 0)


class CompileTurn:
    """The first worker compiles alone, so that the others find on disk what it has made.

    `mark` is there from before the workers begin until the first has compiled, or has ended.
    """

    def __init__(self, mark: Path | None = None, is_first: bool = True) -> None:
        self._mark, self._is_first = mark, is_first

    @property
    def is_come(self) -> bool:
        """Whether nobody else is to compile before."""
        return self._is_first or self._mark is None or not self._mark.exists()

    async def come(self) -> None:
        """Wait for it."""
        while not self.is_come:  # noqa: ASYNC110 - the mark is another process's
            await asyncio.sleep(LOOK_S)

    def hold_back(self) -> None:
        """All but the first are to wait: for the supervisor, before it begins them."""
        if self._mark is not None:
            self._mark.touch()

    def pass_on(self) -> None:
        """The first has compiled."""
        if self._is_first and self._mark is not None:
            self._mark.unlink(missing_ok=True)

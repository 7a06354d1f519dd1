"""Which version serves and which runs beside it: the champion, the challenger, and what moves them.

Owns the form of champion.json and challenger.json. A pointer is one small file, replaced whole: a reader sees
the old one or the new one. Knows no daemon that follows them.
"""

import time
from contextlib import suppress
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from streamrnn.errors import BundleError, NotPlain
from streamrnn.nn.manifest import refusing
from streamrnn.registry.model_names import checked_name
from streamrnn.registry.published import Published

CHAMPION, CHALLENGER = "champion.json", "challenger.json"
LARGEST_POINTER_BYTES = 1000
LONGEST_HISTORY = 20

Version = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]


class Champion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What champion.json holds; history: the champions before it, the last one last."""

    version: Version
    history: tuple[Version, ...] = ()


class Staged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What challenger.json holds: the version that runs beside the champion; staged_ms: since when."""

    version: Version
    staged_ms: Annotated[int, msgspec.Meta(ge=0)]


class Wanted(NamedTuple):
    """What a daemon is to run: the version that serves, and the one beside it if there is one."""

    champion: int
    challenger: int | None = None

    @classmethod
    def of(cls, champion: int, challenger: int | None) -> "Wanted":
        """The two; a champion has no use for itself as its challenger."""
        return cls(champion, None if challenger == champion else challenger)


P = TypeVar("P", Champion, Staged)

_CHAMPION = msgspec.json.Decoder(Champion)
_CHALLENGER = msgspec.json.Decoder(Staged)


class _DamagedPointer(BundleError):
    """A pointer that is there and says nothing; another may be set in its place."""


class Pointed(Published):
    """Published versions, of which one may be the champion and another the challenger."""

    # The champion

    def pointer(self, name: str) -> Champion | None:
        """The champion and those before it; None when none was chosen, BundleError when the pointer is damaged."""
        try:
            return self._read(name, CHAMPION, _CHAMPION)
        except _DamagedPointer as error:
            raise _DamagedPointer(f"{error}; {self._remedy(name)}") from error

    def champion(self, name: str) -> int:
        """The version that serves; BundleError when none was chosen or the pointer is damaged."""
        pointer = self.pointer(name)
        if pointer is None:
            raise BundleError(f"{self.place(name)}/{CHAMPION}: No such file; {self._remedy(name)}")
        return pointer.version

    def _remedy(self, name: str) -> str:
        versions = self.versions(name)
        if not versions:
            return f"there is no version of {name} yet: streamrnn retrain --name {name} makes one"
        return f"choose one: streamrnn models promote {name}@VERSION; versions there are: {versions}"

    def set_champion(self, name: str, version: int) -> int | None:
        """Point the champion at a published version and return the one before; a damaged pointer is replaced.

        The challenger of this version is one no longer.
        """
        self.check_has(name, version)
        before = None
        with suppress(_DamagedPointer):
            before = self.pointer(name)
        history = () if before is None else before.history
        if before is not None and before.version != version:
            history = (*history, before.version)[-LONGEST_HISTORY:]
        self._crown(name, Champion(version, history))
        return None if before is None else before.version

    def before_champion(self, name: str) -> int:
        """The version to go back to: the last champion before this one that is still there."""
        return self._earlier(name)[-1]

    def _earlier(self, name: str) -> tuple[int, ...]:
        """The history as far as the last version in it that is another and still there."""
        version, pointer = self.champion(name), self.pointer(name)
        history, there = pointer.history if pointer else (), self.versions(name)
        while history and (history[-1] == version or history[-1] not in there):
            history = history[:-1]
        if not history:
            raise BundleError(f"{name} has no champion before {version} that is still there; versions: {there}")
        return history

    def rollback(self, name: str) -> int:
        """Point the champion at the one before it and return that; a second rollback goes further back."""
        *history, version = self._earlier(name)
        self._crown(name, Champion(version, tuple(history)))
        return version

    def _crown(self, name: str, champion: Champion) -> None:
        # 1. The champion: from here on the version serves.
        self._point(name, CHAMPION, champion)
        # 2. The challenger. Where the process ends before this, both name one version, which readers bear. The
        #    other order would leave a moment in which a daemon drops the line that it is about to need.
        if self._is_over(name, champion.version):
            self.unstage(name)

    def _is_over(self, name: str, champion: int) -> bool:
        """Whether the challenger has become the champion, or its pointer names nobody."""
        try:
            staged = self.challenger(name)
        except _DamagedPointer:
            return True
        return staged is not None and staged.version == champion

    # The challenger

    def challenger(self, name: str) -> Staged | None:
        """The version that runs beside the champion, None when none does; BundleError for a damaged pointer."""
        try:
            return self._read(name, CHALLENGER, _CHALLENGER)
        except _DamagedPointer as error:
            ways = f"streamrnn models stage {name}@VERSION, or unstage {name}"
            raise _DamagedPointer(f"{error}; mend it: {ways}") from error

    def stage(self, name: str, version: int) -> int | None:
        """Let a published version run beside the champion and return the one that did; damage is replaced.

        BundleError for the champion: it has nothing to prove beside itself.
        """
        self.check_has(name, version)
        if version == self.champion(name):
            raise BundleError(f"{name}@{version} is the champion: it serves already")
        before = None
        with suppress(_DamagedPointer):
            before = self.challenger(name)
        if before is None or before.version != version:
            self._point(name, CHALLENGER, Staged(version, int(time.time() * 1000)))
        return None if before is None else before.version

    def unstage(self, name: str) -> None:
        """Let no version run beside the champion; nothing happens where none does."""
        with refusing():
            self._store.delete(f"{checked_name(name)}/{CHALLENGER}")

    # Both

    def wanted(self, name: str) -> Wanted:
        """What a daemon is to run now; BundleError where that cannot be read."""
        # The challenger first. A promotion between the two reads then shows the version as both; the other way
        # round, it would show it as neither, and a daemon would drop the line that it is about to serve with.
        staged = self.challenger(name)
        return Wanted.of(self.champion(name), None if staged is None else staged.version)

    def numbers_given(self, name: str) -> set[int]:
        """Versions that a pointer names or named, there or not; a damaged pointer names none."""
        named: set[int] = set()
        with suppress(_DamagedPointer):
            if pointer := self.pointer(name):
                named |= {pointer.version, *pointer.history}
        with suppress(_DamagedPointer):
            if staged := self.challenger(name):
                named.add(staged.version)
        return named

    def _read(self, name: str, file: str, decoder: msgspec.json.Decoder[P]) -> P | None:
        key = f"{checked_name(name)}/{file}"
        try:
            return decoder.decode(self._store.read(key, LARGEST_POINTER_BYTES))
        except FileNotFoundError:
            return None
        except NotPlain as error:
            raise _DamagedPointer(f"{error.filename}: {error.strerror}") from error
        except OSError as error:
            raise BundleError(f"{error.filename}: {error.strerror}") from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            what = file.removesuffix(".json")
            raise _DamagedPointer(f"{self._store.place(key)}: not a {what} pointer: {error}") from error

    def _point(self, name: str, file: str, pointer: Champion | Staged) -> None:
        with refusing():
            self._store.write(f"{name}/{file}", msgspec.json.encode(pointer))

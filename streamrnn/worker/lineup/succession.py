"""Which lines a worker has: the champion's, and beside it the challenger's or that of the champion before.

Hears which versions are wanted, has their lines made, and lets go of those that nobody needs. A version that cannot
be had is refused, said, and not tried again until another is wanted; who speaks goes on. Knows no registry's files.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from streamrnn.errors import StreamrnnError
from streamrnn.metrics import Metrics
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.registry import Wanted
from streamrnn.worker.lineup.lineup import MOST_VOICES, Lineup
from streamrnn.worker.lineup.voice import ModelVoice

log = logging.getLogger(__name__)
LOOK_S = 0.5
"""Between two looks at who is needed."""

Hire = Callable[[int], Awaitable[ModelVoice]]
"""Makes the voice of a version; StreamrnnError where that cannot be had or does not fit."""


class Succession:
    """The voices of one lineup, of one model's name."""

    def __init__(self, lineup: Lineup, name: str, hire: Hire, metrics: Metrics, rollback_window_s: float) -> None:
        """rollback_window_s: for which the champion before is kept after the last partition has changed."""
        self._lineup, self._name, self._hire, self._metrics = lineup, name, hire, metrics
        self._window_s = rollback_window_s
        self._wanted: Wanted | None = None
        self._turn = asyncio.Lock()
        self._silent_s: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        """Models that are wanted and were not taken, and why."""

    def want(self, wanted: Wanted) -> None:
        """These are wanted from now on; what was refused before is tried again."""
        self._wanted = wanted
        self.refused, self._lineup.broken = {}, {}

    async def summon(self, written: Pedigree) -> ModelVoice | None:
        """The voice of a committed state, made if need be; None where it cannot be had, or is another now."""
        name, _, version = written.model.rpartition("@")
        if name != self._name or not version.isdigit() or written.model in self.refused:
            return None
        async with self._turn:
            voice = await self._seated(int(version))
        return None if voice is None or voice.line.fingerprint != written.fingerprint else voice

    async def run(self) -> None:
        """Look for ever at who is needed."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._wanted is not None:
                async with self._turn:
                    await self._arrange(self._wanted)

    async def _arrange(self, wanted: Wanted) -> None:
        champion, challenger = self._label(wanted.champion), self._label(wanted.challenger)
        assert champion is not None
        if champion != self._lineup.wanted and champion not in self.refused:
            self._make_room(champion)
            if await self._seated(wanted.champion) is not None:
                log.info("%s is to speak, %s spoke before", champion, self._lineup.wanted)
                self._lineup.wanted = champion
        self._let_go(champion, challenger)
        if challenger not in (None, champion, *self.refused):
            assert wanted.challenger is not None
            self._make_room(challenger)
            await self._seated(wanted.challenger)

    async def _seated(self, version: int) -> ModelVoice | None:
        """The voice of a version, made if there is room; None where there is none, or it is refused."""
        label = self._label(version)
        assert label is not None
        if (voice := self._lineup.get(label)) is not None:
            return voice
        refused = self.refused | self._lineup.broken
        if len(self._lineup.voices()) >= MOST_VOICES or label in refused:
            return None
        try:
            voice = await self._hire(version)
        except StreamrnnError as error:
            self.refused[label] = str(error)
            self._metrics.model_refused()
            log.error("%s is not taken: %s; %s goes on", label, error, self._lineup.wanted)
            return None
        self._lineup.add(voice)
        log.info("%s follows, %s speaks", label, self._lineup.wanted)
        return voice

    def _make_room(self, label: str | None) -> None:
        """Let go of who neither speaks nor is wanted, for somebody else's sake."""
        for voice in self._lineup.voices():
            if voice.label not in (label, self._lineup.wanted) and not self._lineup.speaks(voice.label):
                self._lineup.remove(voice.label)

    def _let_go(self, champion: str, challenger: str | None) -> None:
        """The champion before goes when it has been silent for long; who was never to speak goes at once."""
        now_s = time.monotonic()
        for voice in self._lineup.voices():
            label = voice.label
            if self._lineup.speaks(label):
                self._silent_s[label] = now_s
            elif label in (champion, challenger, self._lineup.wanted):
                continue
            elif now_s - self._silent_s.get(label, -self._window_s) >= self._window_s:
                self._lineup.remove(label)
                self._silent_s.pop(label, None)

    def _label(self, version: int | None) -> str | None:
        return None if version is None else f"{self._name}@{version}"

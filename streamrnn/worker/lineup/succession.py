"""Which lines a worker has: the champion's, and beside it the challenger's or that of the champion before.

Hears which versions are wanted, has their lines made, and lets go of those that nobody needs. A version that cannot
be had is refused, said, and tried again after a while; who speaks goes on. Knows no registry's files.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from streamrnn.errors import BundleError, StoreUnavailable
from streamrnn.metrics import Metrics
from streamrnn.provenance.pedigree import Pedigree
from streamrnn.registry import Wanted
from streamrnn.worker.lineup.lineup import MOST_VOICES, Lineup
from streamrnn.worker.lineup.voice import ModelVoice

log = logging.getLogger(__name__)
LOOK_S = 0.5
"""Between two looks at who is needed."""
AGAIN_S = 60.0
"""Before a version that was refused is tried again: a store may be back, memory free, a feature in the ticks."""

Hire = Callable[[int], Awaitable[ModelVoice]]
"""Makes the voice of a version; an error where that cannot be had or does not fit."""
Judge = Callable[[ModelVoice], None]
"""BundleError where the newest ticks have nothing for a voice."""


class Succession:
    """The voices of one lineup, of one model's name."""

    def __init__(
        self, lineup: Lineup, name: str, hire: Hire, judge: Judge, metrics: Metrics, rollback_window_s: float
    ) -> None:
        """rollback_window_s: for which the champion before is kept after the last partition has changed."""
        self._lineup, self._name, self._hire, self._judge = lineup, name, hire, judge
        self._metrics, self._window_s = metrics, rollback_window_s
        self._wanted: Wanted | None = None
        self._turn = asyncio.Lock()
        self._hiring: dict[int, asyncio.Task[ModelVoice]] = {}
        self._silent_s: dict[str, float] = {}
        self._refused_s: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        """Models that are wanted and were not taken, and why."""

    def want(self, wanted: Wanted) -> None:
        """These are wanted from now on; what was refused before is tried again."""
        self._wanted = wanted
        self.try_again()

    def try_again(self) -> None:
        """Have nobody refused any more."""
        self.refused, self._lineup.broken, self._refused_s = {}, {}, {}

    async def summon(self, written: Pedigree) -> ModelVoice | None:
        """The voice of a committed state, made if need be; None where it cannot be had, or is another now.

        StoreUnavailable where the registry does not answer: the state is not lost for that.
        """
        name, _, version = written.model.rpartition("@")
        if name != self._name or not version.isdigit():
            return None
        async with self._turn:
            try:
                voice = await self._seated(int(version))
            except BundleError as error:
                if isinstance(error.__cause__, FileNotFoundError) or not isinstance(error.__cause__, OSError):
                    return None
                raise StoreUnavailable(f"{written.model}: {error}") from error
        return None if voice is None or voice.line.fingerprint != written.fingerprint else voice

    async def run(self) -> None:
        """Look for ever at who is needed."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._wanted is not None:
                    async with self._turn:
                        await self._arrange(self._wanted)
        finally:
            for task in self._hiring.values():
                task.cancel()

    async def _arrange(self, wanted: Wanted) -> None:
        champion, challenger = self._label(wanted.champion), self._label(wanted.challenger)
        assert champion is not None
        if champion != self._lineup.wanted and await self._taken(wanted.champion, for_champion=True) is not None:
            log.info("%s is to speak, %s spoke before", champion, self._lineup.wanted)
            self._lineup.wanted = champion
        self._check_silent()
        self._let_go(champion, challenger)
        if wanted.challenger is not None and self._lineup.get(challenger or "") is None:
            await self._taken(wanted.challenger)

    async def _taken(self, version: int, *, for_champion: bool = False) -> ModelVoice | None:
        """The voice of a version, seated; None where it is refused, now or lately, or where both seats speak."""
        label = f"{self._name}@{version}"
        since_s = time.monotonic() - self._refused_s.get(label, -AGAIN_S)
        if since_s < AGAIN_S or label in self._lineup.broken:
            return self._lineup.get(label)
        try:
            voice = await self._seated(version, for_champion=for_champion)
        except Exception as error:  # of the bundle, the store, the device, for want of memory: who speaks goes on
            if label not in self.refused:
                self._metrics.model_refused()
                log.error("%s is not taken: %s; %s goes on", label, error, self._lineup.wanted)
            self.refused[label], self._refused_s[label] = str(error), time.monotonic()
            return None
        self.refused.pop(label, None)
        return voice

    async def _seated(self, version: int, *, for_champion: bool = False) -> ModelVoice | None:
        """The voice of a version, made if a seat can be had; what keeps it from being made is raised.

        Only a champion may have the seat of who is wanted and has said nothing yet.
        """
        label = f"{self._name}@{version}"
        if (voice := self._lineup.get(label)) is not None:
            return voice
        if len(self._lineup.voices()) >= MOST_VOICES and not self._spare(for_champion):
            return None
        voice = await self._hired(version)
        # Only now: whoever has a seat keeps it where the new one is refused.
        if len(self._lineup.voices()) >= MOST_VOICES and (spare := self._spare(for_champion)):
            if spare == self._lineup.wanted:
                self._lineup.wanted = next(v.label for v in self._lineup.voices() if v.label != spare)
            self._lineup.remove(spare)
        if len(self._lineup.voices()) >= MOST_VOICES:
            voice.close()
            return None
        self._lineup.add(voice)
        log.info("%s follows, %s speaks", label, self._lineup.speaking()[0].label)
        return voice

    async def _hired(self, version: int) -> ModelVoice:
        """Made once, though who asks for it may give up and ask again."""
        task = self._hiring.get(version)
        if task is None:
            task = self._hiring[version] = asyncio.ensure_future(self._hire(version))
        try:
            return await asyncio.shield(task)
        finally:
            if task.done():
                self._hiring.pop(version, None)

    def _spare(self, for_champion: bool) -> str | None:
        """Who may be let go: who speaks of nothing, while somebody speaks."""
        silent = [voice.label for voice in self._lineup.voices() if not self._lineup.speaks(voice.label)]
        if not for_champion or len(silent) == len(self._lineup.voices()):
            silent = [label for label in silent if label != self._lineup.wanted]
        return next(iter(silent), None)

    def _check_silent(self) -> None:
        """Who is wanted and speaks of nothing yet is held against the ticks that have come since it was made."""
        main = self._lineup.main()
        others = [voice.label for voice in self._lineup.speaking() if voice is not main]
        if not others or self._lineup.speaks(main.label):
            return
        try:
            self._judge(main)
        except BundleError as error:
            log.error("%s does not speak: %s; %s goes on", main.label, error, others[0])
            self._metrics.model_refused()
            self.refused[main.label], self._refused_s[main.label] = str(error), time.monotonic()
            self._lineup.wanted = others[0]
            self._lineup.remove(main.label)

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

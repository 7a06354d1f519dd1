"""Owns what becomes of a worker that has ended: begun anew, and when, or the end of the whole. A pure choice.

Some errors come back at every start, whatever a supervisor does: a setting, a model, kept state, a name that
another has. They end the daemon with the worker's exit code, as they end a daemon of one worker. All else may pass:
it costs a pause, which doubles; but a worker that dies soon again and again ends the daemon too, where it is seen.
"""

from typing import NamedTuple

from streamrnn.errors import BundleError, ConfigError, StateError, WorkerFenced

FINAL = frozenset({ConfigError.exit_code, BundleError.exit_code, StateError.exit_code, WorkerFenced.exit_code})


class Patience(NamedTuple):
    """Pauses from first_s to longest_s. A life of steady_s forgets those before; `most` short ones end all."""

    first_s: float = 1.0
    longest_s: float = 30.0
    steady_s: float = 60.0
    most: int = 6


class Restarts:
    """The lives of one worker."""

    def __init__(self, patience: Patience = Patience()) -> None:  # noqa: B008
        self._patience, self._short_lives = patience, 0

    def pause_s(self, code: int, lived_s: float) -> float | None:
        """How long to wait before the worker is begun anew; None where the whole is to end with its exit code."""
        self._short_lives = 1 if lived_s >= self._patience.steady_s else self._short_lives + 1
        if code in FINAL or self._short_lives >= self._patience.most:
            return None
        pause_s: float = self._patience.first_s * 2 ** (self._short_lives - 1)
        return min(pause_s, self._patience.longest_s)

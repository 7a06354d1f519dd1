"""What two models missed on the same ticks, summed as the ticks come. Owns the sums; bounded whatever comes.

Moments of time are kept, that errors which come together count as one; and streams, to tell on how many of them the
challenger is better. Both begin exact. With more moments than there is room for, a moment becomes twice as long;
with more streams, half of them are let go, chosen by a hash of the key: what stays covers all since the beginning
and is a fair sample. Called by one thread. Shapes: E cells, T moments, S streams.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.comparing import paired_loops as loops
from streamrnn.comparing.moment_sums import HELD, SHRUNK, make_moments
from streamrnn.comparing.paired_comparison import MeanDifference, PairedComparison, PairedScore, StreamsBetter
from streamrnn.comparing.pairing import chosen, common_cells, matched, rows_in
from streamrnn.comparing.stream_sums import FIRST, LATEST, TICKS, make_streams
from streamrnn.nn.spec import ModelSpec
from streamrnn.ticks import PredictionBatch, Spans, TickBatch
from streamrnn.ticks.byte_spans import uniform
from streamrnn.train.significance import compare, freedom_of

STREAMS_LOOKED_AT = 4096
"""Whose ticks say how many moments lie between two of a stream's."""


class CompareBounds(NamedTuple):
    """How much is kept: moments; streams, and bytes of their sums. least_truths: of a stream that is judged."""

    moments: int = 2048
    streams: int = 100_000
    stream_bytes: int = 32 << 20
    least_truths: int = 10

    def streams_of(self, cells: int) -> int:
        """Streams that there is room for."""
        return max(2, min(self.streams, self.stream_bytes // (32 + 8 * cells)))


class PairedErrors:
    """Two models side by side since a moment; for two others another is made."""

    def __init__(
        self,
        champion: ModelSpec,
        challenger: ModelSpec,
        since_ms: int,
        bounds: CompareBounds = CompareBounds(),  # noqa: B008
    ) -> None:
        self.labels, self.since_ms, self._bounds = (champion.label, challenger.label), since_ms, bounds
        self._common = common_cells(champion, challenger)
        cells = len(self._common.cells)
        self._sums, self.truths = np.zeros((cells, loops.SUMS)), 0
        self._moments = make_moments(bounds.moments, cells)
        self._streams = make_streams(bounds.streams_of(cells), cells)
        nothing = np.zeros((0, cells))
        # Compiled now, not at the first tick.
        self._add(nothing, nothing, matched(_no_ticks(), _no_ticks()), _no_ticks())

    @property
    def nbytes(self) -> int:
        """Bytes allocated, all at the beginning."""
        return sum(array.nbytes for array in (self._sums, *self._moments, *self._streams))

    def note(self, champion: PredictionBatch, challenger: PredictionBatch) -> None:
        """What both said of the same records; a batch that does not tell its misses says nothing."""
        if champion.misses is None or challenger.misses is None:
            return
        ours = chosen(champion.misses, self._common.champion)
        theirs = chosen(challenger.misses, self._common.challenger)
        self.truths += self._add(ours, theirs, rows_in(challenger.ticks, champion.ticks), champion.ticks)

    def _add(
        self, ours: NDArray[np.float64], theirs: NDArray[np.float64], row: NDArray[np.int64], ticks: TickBatch
    ) -> int:
        """How many of the champion's ticks had a pair of errors (n, E), (m, E); row (n,) says where."""
        streams = ticks.streams if isinstance(ticks.streams, Spans) else Spans.of(ticks.streams)
        data, starts, sizes = streams.parts()
        errors, columns = (
            (uniform(ours), uniform(theirs)),
            (uniform(row), uniform(ticks.time_ms), uniform(ticks.partition)),
        )
        for own in errors:
            loops.count_known(self._sums, own)
        kept = (self._sums, self._moments, self._streams)
        return loops.note(*kept, *errors, *columns, data.ctypes.data, starts, sizes)

    def comparison(self) -> PairedComparison:
        """What the sums say by now."""
        held = self._moments.counts[HELD]
        order = np.argsort(self._moments.begins[:held])
        difference, weight = self._moments.difference[order], self._moments.weight[order]
        gap = self._moments_a_tick(self._moments.begins[order])
        scores = [self._score(cell, difference[:, cell], weight[:, cell], gap) for cell in range(len(self._sums))]
        scale = np.array([one.scale for one in scores if one.truths])
        seen = self._sums[:, loops.TRUTHS] > 0
        each = 1 / self._sums[seen, loops.TRUTHS]
        longest = max((one.horizon for one in scores if one.truths), default=1)
        pooled = _tested(difference[:, seen] @ (each / scale), weight[:, seen] @ each, longest * gap)
        streams = self._streams_better(np.flatnonzero(seen), scale)
        return PairedComparison(*self.labels, self.since_ms, self.truths, tuple(scores), pooled, streams)

    def _score(
        self, cell: int, difference: NDArray[np.float64], weight: NDArray[np.float64], gap: float
    ) -> PairedScore:
        target, horizon = self._common.cells[cell]
        sums = self._sums[cell].tolist()
        return PairedScore(
            target=target,
            horizon=horizon,
            truths=int(sums[loops.TRUTHS]),
            unpaired=int(sums[loops.KNOWN] - 2 * (sums[loops.TRUTHS] + sums[loops.BEYOND])),
            beyond=int(sums[loops.BEYOND]),
            champion_squared=sums[loops.CHAMPION_SQUARED],
            challenger_squared=sums[loops.CHALLENGER_SQUARED],
            champion_absolute=sums[loops.CHAMPION_ABSOLUTE],
            challenger_absolute=sums[loops.CHALLENGER_ABSOLUTE],
            difference=_tested(difference, weight, horizon * gap),
        )

    def _moments_a_tick(self, begins: NDArray[np.int64]) -> float:
        """How many moments there are from one tick of a stream to its next, about; begins (T,) ascending."""
        held, bits = self._streams.counts[HELD], self._moments.counts[SHRUNK]
        some = slice(0, held, max(1, held // STREAMS_LOOKED_AT))
        ours = self._streams.held[:held][some]
        first, last = (np.searchsorted(begins, ours[:, end] >> bits) for end in (FIRST, LATEST))
        return float((last - first + 1).sum() / ours[:, TICKS].sum()) if held else 1.0

    def _streams_better(self, seen: NDArray[np.intp], scale: NDArray[np.float64]) -> StreamsBetter:
        held, streams = self._streams.counts[HELD], self._streams
        judged = streams.held[:held, TICKS] >= self._bounds.least_truths
        pooled = (streams.difference[:held][judged][:, seen] / scale).sum(axis=1)
        return StreamsBetter(int((pooled < 0).sum()), int(judged.sum()))


def _no_ticks() -> TickBatch:
    none = np.zeros(0, np.int64)
    return TickBatch(np.zeros(0, np.int32), none, none, none, [], np.zeros((0, 0)), none)


def _tested(difference: NDArray[np.float64], weight: NDArray[np.float64], longest: float) -> MeanDifference:
    found = compare(difference, weight, longest)
    return MeanDifference(found.mean, found.error, found.p, freedom_of(found.moments, longest))

"""Loops over pairs of errors, compiled: sums by cell, by moment of time and by stream; which ticks are the same.

Every tick is taken alone and in order, so sums do not depend on how ticks came in batches, to the bit.
Shapes: n ticks of the champion's, m of the challenger's, E cells.
"""

from typing import Any

import numpy as np

from streamrnn.comparing import moment_sums, stream_sums
from streamrnn.comparing.moment_sums import moment_of
from streamrnn.comparing.stream_sums import BLOCK, FIRST, LATEST, TICKS, approach, stream_of
from streamrnn.engine.rows import key_records
from streamrnn.process.compiling import borrowing, compiled_with, spliced

TRUTHS, CHAMPION_SQUARED, CHALLENGER_SQUARED, CHAMPION_ABSOLUTE, CHALLENGER_ABSOLUTE, BEYOND, KNOWN = range(7)
"""Columns of the sums of a cell. BEYOND: pairs left out; KNOWN: errors of either, paired or not."""
SUMS = 7
MOST_ERROR = 1e60
"""An error beyond it is absurd: its fourth power is still a float64."""


@spliced
def _add(sums: Any, ours: Any, theirs: Any) -> None:
    """One pair to the sums of its cell."""
    sums[TRUTHS] += 1
    sums[CHAMPION_SQUARED] += ours * ours
    sums[CHALLENGER_SQUARED] += theirs * theirs
    sums[CHAMPION_ABSOLUTE] += abs(ours)
    sums[CHALLENGER_ABSOLUTE] += abs(theirs)


@spliced
def _note_tick(
    sums: Any, moments: Any, streams: Any, champion: Any, challenger: Any, j: int, time_ms: int, i: int, hashed: int
) -> int:
    """Add the errors of the champion's tick i and the challenger's tick j, if it has it; 1 if there was a pair."""
    moment = stream = -1
    for cell in range(champion.shape[1]):
        ours = champion[i, cell]
        theirs = challenger[j, cell] if j >= 0 else np.nan
        if abs(ours) <= MOST_ERROR and abs(theirs) <= MOST_ERROR:
            if moment < 0:
                moment = moment_of(moments, time_ms)
                stream = stream_of(streams, hashed, time_ms)
            _add(sums[cell], ours, theirs)
            difference = theirs * theirs - ours * ours
            moments.difference[moment, cell] += difference
            moments.weight[moment, cell] += 1
            if stream >= 0:
                streams.difference[stream, cell] += difference
        elif not (np.isnan(ours) or np.isnan(theirs)):
            sums[cell, BEYOND] += 1
    if stream >= 0:
        held = streams.held
        held[stream, TICKS] += 1
        held[stream, FIRST] = min(held[stream, FIRST], time_ms)
        held[stream, LATEST] = max(held[stream, LATEST], time_ms)
    return int(moment >= 0)


@compiled_with(key_records, moment_sums, stream_sums, is_borrowing=True)
def note(
    sums: Any, moments: Any, streams: Any, champion: Any, challenger: Any, row: Any, times_ms: Any,
    partitions: Any, keys: int, starts: Any, sizes: Any,
) -> int:  # fmt: skip
    """Add the errors of n ticks to sums (E, SUMS), moments and streams: how many ticks had a pair.

    champion (n, E) and challenger (m, E) errors, NaN for none; row (n,) the challenger's of each tick, -1 for none.
    """
    paired = 0
    for first in range(0, len(row), BLOCK):
        stop = min(first + BLOCK, len(row))
        approach(streams, partitions, keys, starts, sizes, first, stop)
        for i in range(first, stop):
            j, time_ms, hashed = row[i], times_ms[i], streams.hashed[i - first]
            paired += _note_tick(sums, moments, streams, champion, challenger, j, time_ms, i, hashed)
    return paired


@borrowing
def count_known(sums: Any, errors: Any) -> None:
    """Count either model's errors (n, E) in sums (E, SUMS)."""
    for i in range(len(errors)):
        for cell in range(errors.shape[1]):
            if not np.isnan(errors[i, cell]):
                sums[cell, KNOWN] += 1


@borrowing
def match(
    partitions: Any, offsets: Any, indexes: Any, partitions_in: Any, offsets_in: Any, indexes_in: Any,
    heads: Any, following: Any, row: Any,
) -> None:  # fmt: skip
    """Write in which of m rows each of n ticks is, or -1; a partition's offsets and indexes ascend in both.

    heads: -1 for every partition; following: room for m. The rows of a partition hang one behind the other.
    """
    for j in range(len(partitions_in) - 1, -1, -1):
        following[j] = heads[partitions_in[j]]
        heads[partitions_in[j]] = j
    for i in range(len(partitions)):
        partition, offset, index = partitions[i], offsets[i], indexes[i]
        j = heads[partition]
        while j >= 0 and (offsets_in[j] < offset or (offsets_in[j] == offset and indexes_in[j] < index)):
            j = following[j]
        heads[partition] = j
        row[i] = j if j >= 0 and offsets_in[j] == offset and indexes_in[j] == index else -1

"""Which found records belong to which ticks, and which of them are there again. Pure columns. Shapes: n found."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamrnn.verifying.found import FoundColumns, Places

Flags = NDArray[np.bool_]


class Hits(NamedTuple):
    """Which found records are of an expected tick (n,), which tick that is (n,), and copies of each tick (m,)."""

    is_hit: Flags
    slot: NDArray[np.intp]
    copies: NDArray[np.intp]


def hits_of(places: Places, source: Places, is_candidate: Flags) -> Hits:
    """Which of the candidates are of one of these ascending places."""
    if not len(places):
        return Hits(np.zeros(len(source), np.bool_), np.zeros(len(source), np.intp), np.zeros(0, np.intp))
    slot = np.minimum(np.searchsorted(places, source), len(places) - 1)
    is_hit = is_candidate & (places[slot] == source)
    return Hits(is_hit, slot, np.bincount(slot[is_hit], minlength=len(places)))


def repeats(source: Places, among: Flags) -> Flags:
    """Which of those among them have the source of an earlier one among them."""
    again = np.zeros(len(source), np.bool_)
    rows = np.flatnonzero(among)
    again[rows[1:]] = source[rows[1:]] == source[rows[:-1]]
    return again


def same_as_before(found: FoundColumns) -> Flags:
    """Which have the model and the content of the one just before."""
    same = np.zeros(len(found.source), np.bool_)
    same[1:] = (found.digest[1:] == found.digest[:-1]).all(axis=1) & (found.name[1:] == found.name[:-1])
    return same


def grouped(columns: FoundColumns) -> dict[int, FoundColumns]:
    """By source place."""
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for n, place in enumerate(columns.source.tolist()):
        rows[place].append(n)
    return {place: columns.rows(slice(at[0], at[-1] + 1)) for place, at in rows.items()}

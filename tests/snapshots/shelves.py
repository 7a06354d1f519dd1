"""Shelves of snapshots of small rows: a stream's row is made of one number."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from streamrnn.errors import Damaged
from streamrnn.snapshots import Chain, ColdRows, Draft, Shelf
from streamrnn.snapshots.draft import PartBounds
from streamrnn.ticks import StreamRows

FINGERPRINT = "0123456789abcdef" * 4
State = dict[bytes, int]


def make_shelf(url: object, **other: Any) -> Shelf:
    asked = {"label": "oil@7", "fingerprint": FINGERPRINT, "columns": "a b|c", "device": "cpu"} | other
    return Shelf(str(url), "app", "ticks", **asked)


def small_shelf(url: object, bytes: int = 2**20, **other: Any) -> Shelf:
    """A shelf whose parts have three rows at most."""
    return make_shelf(url, bounds=PartBounds(rows=3, bytes=bytes), **other)


def rows_of(state: Mapping[bytes, int]) -> StreamRows:
    """W = 2 and V = 3."""
    values = np.array(list(state.values()), np.int64).reshape(-1, 1)
    floats = (values + np.array([0.25, 0.5])).astype(np.float32)
    return StreamRows(list(state), floats, values * np.array([1, -1, 2**40]))


ENDED = -1


def has_ended(rows: StreamRows) -> np.ndarray:
    """The number of a state that has ended is ENDED."""
    return rows.integers[:, 0] == ENDED


def state_of(rows: StreamRows) -> State:
    """The numbers, after each column proved to be made of its row's."""
    if not rows.streams:
        return {}
    again = rows_of(dict(zip(rows.streams, rows.integers[:, 0].tolist(), strict=True)))
    assert rows.streams == again.streams
    assert rows.floats.dtype == np.float32
    assert rows.integers.dtype == np.int64
    np.testing.assert_array_equal(rows.floats, again.floats)
    np.testing.assert_array_equal(rows.integers, again.integers)
    return dict(zip(again.streams, again.integers[:, 0].tolist(), strict=True))


def load(shelf: Shelf, chain: Chain, cold: ColdRows | None = None) -> State:
    state: State = {}
    for rows in shelf.load(chain, cold):
        state |= state_of(rows)
    return state


def restore(shelf: Shelf, at_most: int, since: int | None = None, partition: int = 3) -> tuple[Chain | None, State]:
    """As a worker does it: the next older one where a part proves damaged."""
    while True:
        chain = shelf.find(partition, at_most, since).chain
        if chain is None:
            return None, {}
        try:
            return chain, load(shelf, chain)
        except Damaged:
            continue


def fill(draft: Draft, state: Mapping[bytes, int], at_once: int = 2) -> Draft:
    items = list(state.items())
    for start in range(0, len(items), at_once):
        draft.add(rows_of(dict(items[start : start + at_once])))
    return draft


def write(
    shelf: Shelf,
    offset: int,
    state: Mapping[bytes, int],
    base: Chain | None = None,
    cold: ColdRows | None = None,
    since: int = 0,
    partition: int = 3,
) -> Chain:
    return fill(shelf.draft(partition, since, offset, base, cold), state).finish()


def reasons(shelf: Shelf, at_most: int, since: int | None = None) -> list[str]:
    return [passed.reason for passed in shelf.find(3, at_most, since).passed_over]


def names(streams: Iterable[int]) -> list[bytes]:
    return [b"s%d" % stream for stream in streams]

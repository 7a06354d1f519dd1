"""In a history a key whose state ended is another stream from there on, as it is to the service."""

import numpy as np

from streamrnn.retraining.from_topic import _Names
from streamrnn.ticks import Endings, TickBatch


def batch(streams: list[bytes], *ends: tuple[int, bytes], partition: int = 0) -> TickBatch:
    n, none = len(streams), np.zeros(len(streams), np.int64)
    before = np.array([at for at, _ in ends], np.int64)
    endings = Endings(before, np.full(len(ends), partition, np.int32), [s for _, s in ends]) if ends else None
    where = np.full(n, partition, np.int32)
    return TickBatch(where, none, none, none, streams, np.zeros((n, 1), np.float32), none, endings)


def test_each_life_of_a_key_has_a_name_of_its_own_within_a_batch_and_over_several() -> None:
    names = _Names("text")
    assert names.of(batch([b"a", b"b", b"a"], (0, b"a"), (2, b"a"), (3, b"b")), [0, 1, 2]) == ["a", "b", "a (2)"]
    assert names.of(batch([b"a", b"b"], (1, b"never seen"), (2, b"a"), (2, b"a")), [0, 1]) == ["a (2)", "b (2)"]
    assert names.of(batch([b"a"]), [0]) == ["a (3)"]


def test_ticks_that_were_not_taken_begin_no_life() -> None:
    names = _Names("text")
    assert names.of(batch([b"a", b"a", b"a"], (1, b"a"), (2, b"a")), [2]) == ["a"]


def test_no_two_streams_get_one_name() -> None:
    names = _Names("text")
    assert names.of(batch([b"a", b"a (2)", b"a"], (1, b"a")), [0, 1, 2]) == ["a", "a (2)", "a (2) (partition 0)"]
    assert names.of(batch([b"a"], partition=1), [0]) == ["a (partition 1)"]

"""What is said of outliers in the log, and how seldom."""

import logging

import numpy as np
import pytest

from streamrnn.codecs.outliers import Outliers
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import TickBatch
from streamrnn.worker.outliers import OutlierNotes

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))


def batch(counts: list[int] | None) -> TickBatch:
    none = np.zeros(0, np.int64)
    found = None if counts is None else np.array(counts)
    return TickBatch(none.astype(np.int32), none, none, none, [], np.zeros((0, 2), np.float32), outliers=found)


def test_a_feature_is_named_at_its_first_outlier_and_at_each_tenfold(caplog: pytest.LogCaptureFixture) -> None:
    notes = OutlierNotes(SPEC.features, Outliers(SPEC, "clip", "a=0:1,b=-2:"))
    said: list[list[str]] = []
    for counts in (None, [1, 0], [8, 0], [0, 3], [1, 6], [89, 1], [1, 0]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            notes.note(batch(counts))
        said.append([record.getMessage().partition(" (")[0] for record in caplog.records])
    assert said == [
        [], ["a: 1 value outside 0 to 1 so far"], [], ["b: 3 values outside -2 to inf so far"],
        ["a: 10 values outside 0 to 1 so far"], ["b: 10 values outside -2 to inf so far"],
        ["a: 100 values outside 0 to 1 so far"],
    ]  # fmt: skip

"""Outliers through a worker: by each policy what values by hand would give; what is said of them, how seldom."""

import json
import logging

import numpy as np
import pytest

from streamrnn.codecs.bounds import Outliers
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import TickBatch
from streamrnn.worker.outlier_notes import OutlierNotes

from .conftest import MakeWorld, alone, tick, ticks

SPEC = ModelSpec(name="t", features=("a", "b"), targets=("a",), channels=(Channel("a"),))


def batch(counts: list[int] | None) -> TickBatch:
    none = np.zeros(0, np.int64)
    found = None if counts is None else np.array(counts)
    values = np.zeros((0, 2), np.float32)
    return TickBatch(none.astype(np.int32), none, none, none, [], values, none, outliers=found)


def test_a_feature_is_named_at_its_first_outlier_and_at_each_tenfold(caplog: pytest.LogCaptureFixture) -> None:
    notes = OutlierNotes(SPEC.features, Outliers(SPEC, "clip", "a=0:1,b=-2:"))
    said: list[list[str]] = []
    for counts in (None, [1, 0], [8, 0], [0, 3], [1, 6], [89, 1], [1, 0]):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            notes.note(batch(counts))
        said.append([record.getMessage().partition(" (")[0] for record in caplog.records])
    assert said == [
        [],
        ["a: 1 value outside 0 to 1 so far"],
        [],
        ["b: 3 values outside -2 to inf so far"],
        ["a: 10 values outside 0 to 1 so far"],
        ["b: 10 values outside -2 to inf so far"],
        ["a: 100 values outside 0 to 1 so far"],
    ]


@pytest.mark.parametrize("policy", ["process", "clip", "missing", "dead-letter"])
async def test_a_worker_counts_says_and_steps_by_the_policy(
    policy: str, world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Of x beside 1 to 5: twice beyond 9; published is what values by hand would give."""
    records = ticks(0, 12)
    spoilt = [*records]
    for at, x in ((4, 900.0), (8, -70.0)):
        spoilt[at] = tick(0, at, x, records[at].key or b"")
    w = world({0: spoilt}, input={"outliers": policy, "ranges": "x=-9:9"})
    w.metrics.model(w.engine.spec, "cpu")
    with caplog.at_level(logging.WARNING):
        async with w.serving():
            await w.until(lambda: w.source.offsets == {0: 12})
    instead = {"process": (900.0, -70.0), "clip": (9.0, -9.0), "missing": (None, None)}.get(policy)
    by_hand = [r for at, r in enumerate(spoilt) if at not in (4, 8)]
    if instead is not None:
        for at, x in zip((4, 8), instead, strict=True):
            by_hand.insert(at, spoilt[at]._replace(value=json.dumps({"time": at, "x": x}).encode()))
    assert w.predictions() == sorted(alone(by_hand).items())
    assert w.letters() == ([((0, 4), "outlier"), ((0, 8), "outlier")] if instead is None else [])
    assert b'streamrnn_outliers_total{feature="x"} 2.0' in w.metrics.text()
    said = [r.getMessage() for r in caplog.records if "outside" in r.getMessage()]
    assert said == [
        f"x: 2 values outside -9 to 9 so far (input.outliers = {policy}; bounds: input.ranges, else the model's)"
    ]

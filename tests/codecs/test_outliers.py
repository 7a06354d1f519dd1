"""Values outside their feature's bounds: the right values worked out by hand for each policy and format."""

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from streamrnn.codecs import Decoder
from streamrnn.config.input import OutlierPolicy
from streamrnn.config.ranges import parse_ranges
from streamrnn.errors import ConfigError
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import Record

OLD = ModelSpec(name="t", features=("temp", "load"), targets=("temp",), channels=(Channel("temp"),))
SPEC = msgspec.structs.replace(OLD, ranges=((-50.0, 60.0), (0.0, 1.0)))
NAN = math.nan
ROWS = [(20.0, 0.5), (-9999.0, 0.5), (60.0, 0.0), (60.5, 7.0), (NAN, -1.0), (-50.0, NAN)]
"""Outside are the temp of 1 and 3, and the load of 3 and 4; the bounds themselves are not."""
WANTED: dict[OutlierPolicy, list[tuple[float, float]]] = {
    "process": ROWS,
    "clip": [(20.0, 0.5), (-50.0, 0.5), (60.0, 0.0), (60.0, 1.0), (NAN, 0.0), (-50.0, NAN)],
    "missing": [(20.0, 0.5), (NAN, 0.5), (60.0, 0.0), (NAN, NAN), (NAN, NAN), (-50.0, NAN)],
    "dead-letter": [(20.0, 0.5), (60.0, 0.0), (-50.0, NAN)],
}


def records(codec: str, rows: list[tuple[float, float]]) -> list[Record]:
    made = []
    for n, row in enumerate(rows):
        known = {name: x for name, x in zip(SPEC.features, row, strict=True) if not math.isnan(x)}
        raw = np.array(row, "<f4").tobytes() if codec == "float32" else json.dumps(known).encode()
        made.append(Record(0, n, 1_700_000_000_000, b"s", raw))
    return made


def read(rows: list[tuple[float, float]], codec: str = "json", spec: ModelSpec = SPEC, **given: Any) -> Any:
    return Decoder(spec, codec=codec, **given).decode(records(codec, rows))  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["json", "float32"])
@pytest.mark.parametrize("policy", WANTED)
def test_each_policy_gives_the_right_values_and_counts_alike(policy: OutlierPolicy, codec: str) -> None:
    ticks, dead = read(ROWS, codec, outliers=policy)
    np.testing.assert_array_equal(ticks.values, np.array(WANTED[policy], np.float32))
    assert ticks.values.dtype == np.float32
    assert ticks.outliers.tolist() == [2, 2]
    assert [(letter.record.offset, letter.code) for letter in dead] == (
        [(n, "outlier") for n in (1, 3, 4)] if policy == "dead-letter" else []
    )


def test_a_dead_letter_names_features_values_bounds_and_options() -> None:
    _, (first, second, _) = read(ROWS, outliers="dead-letter")
    assert first.message == "temp is -9999, outside -50 to 60 (input.ranges, else the model's; input.outliers)"
    assert "temp is 60.5, outside -50 to 60; load is 7, outside 0 to 1 (" in second.message


def test_given_bounds_go_before_the_models_and_may_leave_a_side_open() -> None:
    rows = [(1e6, 7.0), (-51.0, -1.0), (-50.0, 0.5)]
    ticks, _ = read(rows, outliers="clip", ranges="temp=-50:")
    assert ticks.values.tolist() == [[1e6, 1.0], [-50.0, 0.0], [-50.0, 0.5]]
    assert ticks.outliers.tolist() == [1, 2]
    ticks, _ = read(rows, outliers="clip", ranges="temp=:, load=:6.5")
    assert ticks.values.tolist() == [[1e6, 6.5], [-51.0, -1.0], [-50.0, 0.5]]


def test_a_bundle_without_ranges_has_no_outliers_but_by_bounds_that_are_given() -> None:
    without = msgspec.json.encode({k: v for k, v in msgspec.to_builtins(OLD).items() if k != "ranges"})
    assert msgspec.json.decode(without, type=ModelSpec) == OLD
    ticks, dead = read(ROWS, spec=OLD, outliers="dead-letter")
    assert (len(ticks), dead, ticks.outliers) == (6, [], None)
    ticks, _ = read(ROWS, spec=OLD, outliers="missing", ranges="load=0:1")
    assert ticks.outliers.tolist() == [0, 2]


def test_what_the_policy_made_missing_is_refused_by_a_model_that_wants_all() -> None:
    ticks, dead = read(ROWS[:2], spec=msgspec.structs.replace(SPEC, missing="reject"), outliers="missing")
    assert (len(ticks), [letter.code for letter in dead]) == (1, ["missing_feature"])


@pytest.mark.parametrize("policy", WANTED)
def test_infinite_values_stay_what_they_are_to_every_policy(policy: OutlierPolicy) -> None:
    ticks, dead = read([(math.inf, 0.5), (1.0, 0.5)], "float32", outliers=policy)
    assert (len(ticks), [letter.code for letter in dead], ticks.outliers) == (1, ["not_finite"], None)


def test_a_record_that_is_refused_for_something_else_has_no_outliers() -> None:
    bad = Record(0, 0, 0, b"s", b'{"temp": -9999, "time": "soon"}')
    ticks, (dead,) = Decoder(SPEC, outliers="dead-letter").decode([bad])
    assert (ticks.outliers, dead.code) == (None, "bad_time")


def test_a_bound_is_within_itself_in_the_models_precision() -> None:
    spec = msgspec.structs.replace(OLD, ranges=((0.1, 0.7), None))
    for precision in ("float32", "float64"):
        ticks, _ = read([(0.1, 0.0), (0.7, 9e9)], spec=msgspec.structs.replace(spec, precision=precision))
        assert ticks.outliers is None


def test_bounds_for_no_feature_of_the_model_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"input.ranges: t@1 has no feature 'tmep'; it has temp, load"):
        Decoder(SPEC, ranges="tmep=0:1")


def test_bounds_are_read_with_commas_and_signs_of_equality_in_names() -> None:
    assert parse_ranges(" a,b = -1.5 : 2e3 ,x=y=.5:,z=:0") == {
        "a,b": (-1.5, 2000.0),
        "x=y": (0.5, math.inf),
        "z": (-math.inf, 0.0),
    }
    assert parse_ranges(None) == parse_ranges("") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [("temp", "not like"), ("temp=1", "not like"), ("temp=1:2,load", "'load' is not like"), ("=1:2", "not like"),
     ("temp=2:1", "below"), ("temp=1:1", "below"), ("temp=0:1,temp=:2", "twice"), ("temp=nan:1", "not like")],
)  # fmt: skip
def test_bounds_that_mean_nothing_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_ranges(text)


@pytest.mark.parametrize("ranges", [[[0, 1]], [[1, 0], None], [[0, 0], None]])
def test_a_spec_whose_ranges_mean_nothing_is_refused(ranges: Any) -> None:
    raw = msgspec.json.encode(msgspec.to_builtins(OLD) | {"ranges": ranges})
    with pytest.raises(msgspec.ValidationError, match="range"):
        msgspec.json.decode(raw, type=ModelSpec)

"""Two predictions have one digest if and only if all but the origin of their state is the same."""

import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.verifying.content import UNREADABLE, Content

NUMBERS = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
SAID = st.fixed_dictionaries(
    {
        "stream": st.text(max_size=3),
        "time": st.integers(0, 9),
        "prediction": st.fixed_dictionaries({"x": st.lists(NUMBERS, min_size=1, max_size=2)}),
        "state": st.fixed_dictionaries({"steps": st.integers(1, 3), "origin": st.sampled_from(("new", "carried"))}),
    }
)


def without_origin(said: dict[str, Any]) -> str:
    return json.dumps({**said, "state": said["state"]["steps"]}, sort_keys=True)


@given(SAID, SAID)
def test_digests_are_equal_where_contents_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    for codec, encode in (("json", msgspec.json.encode), ("msgpack", msgspec.msgpack.encode)):
        content = Content(codec, "float32")
        same = content.digest(b"k", encode(one)) == content.digest(b"k", encode(other))
        assert same == (without_origin(one) == without_origin(other))
        sides = content.differences(encode(one), encode(other))
        assert (sides[0] == sides[1]) == (encode(one) == encode(other))
        assert content.digest(b"k", encode(one)) != content.digest(b"l", encode(one))


def test_the_order_of_fields_and_white_space_mean_nothing() -> None:
    content, said = Content("json", "float32"), {"time": 1, "x": [0.5], "state": {"steps": 1, "origin": "new"}}
    turned = dict(reversed(said.items()))
    assert content.digest(b"k", json.dumps(said, indent=1).encode()) == content.digest(
        b"k", msgspec.json.encode(turned)
    )


def test_zero_has_a_sign_and_nan_equals_itself() -> None:
    content = Content("msgpack", "float32")
    digests = [
        content.digest(b"k", msgspec.msgpack.encode({"x": x, "state": {"origin": "new"}}))
        for x in (0.0, -0.0, float("nan"), float("nan"), None, 0)
    ]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 5


RECORDED = (
    b'{"stream":"m","time":5,"model":"oil@7","prediction":{"a":[0.30000001192092896,-2.5]},"quantiles":{"0.1":'
    b'{"a":[1.401298464324817e-45,3.4028234663852886e38]}},"residual":{"a":16777216.0},"state":{"steps":3,"origin":"new"}}'
)
"""Written so by a version that widened what nine digits did not shorten; today's text follows."""
TODAY = (
    b'{"stream":"m","time":5,"model":"oil@7","prediction":{"a":[0.3,-2.5]},"quantiles":{"0.1":'
    b'{"a":[1e-45,3.4028235e+38]}},"residual":{"a":16777216.0},"state":{"steps":3,"origin":"carried"}}'
)


def test_texts_of_the_same_float32_are_the_same_prediction_and_its_neighbours_are_not() -> None:
    content = Content("json", "float32")
    assert content.digest(b"k", RECORDED) == content.digest(b"k", TODAY) != UNREADABLE
    beside = TODAY.replace(b"0.3,", b"0.30000004,")
    assert content.digest(b"k", beside) != content.digest(b"k", TODAY)
    assert content.differences(TODAY, beside) == ("prediction.a[0] 0.3", "prediction.a[0] 0.30000004")
    assert content.differences(RECORDED, beside) == (
        "prediction.a[0] 0.30000001192092896",
        "prediction.a[0] 0.30000004",
    )


def test_numbers_of_a_float64_model_and_all_that_are_no_predictions_are_compared_as_they_are() -> None:
    assert Content("json", "float64").digest(b"k", RECORDED) != Content("json", "float64").digest(b"k", TODAY)
    content = Content("json", "float32")
    for field in (b'"steps":3', b'"time":5', b"16777216.0"):
        other = TODAY.replace(field, field.replace(b"3", b"3.0000000001").replace(b"5", b"6").replace(b".0", b""))
        assert content.digest(b"k", other) != content.digest(b"k", TODAY)


@pytest.mark.parametrize("value", [None, b"", b"[]", b"3", b'{"state":{}}', b'{"state":1}', b"[" * 100_000])
def test_what_is_no_prediction_has_no_digest_and_can_be_shown(value: bytes | None) -> None:
    content = Content("json", "float32")
    assert content.digest(b"k", value) == UNREADABLE
    assert 0 < len(content.shown(value)) <= 303
    assert content.differences(b'{"state":{"origin":"new"}}', value)[1]


def test_packed_forecasts_are_compared_by_their_bytes() -> None:
    content = Content("float32", "float32")
    one, other = struct.pack("<2f", 0.5, -2.0), struct.pack("<2f", 0.5, -2.5)
    assert content.digest(b"k", one) == content.digest(b"k", bytes(one)) != content.digest(b"k", other)
    assert content.differences(one, other) == ("prediction[1] -2.0", "prediction[1] -2.5")
    for broken in (None, b"", b"abc"):
        assert content.digest(b"k", broken) == UNREADABLE

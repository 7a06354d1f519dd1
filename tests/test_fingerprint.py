"""The fingerprint changes with what decides a state, and with nothing else."""

from typing import Any

import pytest

from streamrnn.config import Settings
from streamrnn.fingerprint import fingerprint
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec

MODEL = Model(ModelSpec(name="t", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=2))


def of(**given: Any) -> str:
    return fingerprint(MODEL, Settings(input=given))


@pytest.mark.parametrize("given", [{"records": "list"}, {"tombstones": "forget"}])
def test_lists_and_ends_make_another_state(given: dict[str, Any]) -> None:
    assert of(**given) != of()
    assert of(**given) == of(**given)


def test_whether_a_null_value_is_told_of_makes_no_other_state() -> None:
    assert of(tombstones="skip") == of(tombstones="dead-letter") == of()

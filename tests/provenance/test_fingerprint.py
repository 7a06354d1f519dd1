"""The fingerprint changes with what decides a state, and with nothing else."""

import hashlib
from typing import Any

import msgspec
import pytest

from streamrnn.config import Settings
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.provenance.fingerprint import _deciding, fingerprint

MODEL = Model(ModelSpec(name="t", features=("a",), targets=("a",), channels=(Channel("a"),), hidden=2))


def of(**given: Any) -> str:
    return fingerprint(MODEL, Settings(input=given))


@pytest.mark.parametrize("given", [{"records": "list"}, {"tombstones": "forget"}])
def test_lists_and_ends_make_another_state(given: dict[str, Any]) -> None:
    assert of(**given) != of()
    assert of(**given) == of(**given)


def test_what_becomes_of_outliers_makes_another_state() -> None:
    made = [of(outliers=policy) for policy in ("process", "clip", "missing", "dead-letter")]
    made += [of(outliers="clip", ranges=bounds) for bounds in ("a=0:1", "a=0:", "a=0:2")]
    assert len(set(made)) == len(made)
    assert of(outliers="clip", ranges=" a = 0 : 1.0 ") == of(outliers="clip", ranges="a=0:1")


def test_bounds_that_only_count_make_no_other_state() -> None:
    assert of(outliers="process", ranges="a=0:1") == of()


def test_models_without_ranges_keep_the_fingerprint_they_had() -> None:
    """As it was before there were any."""
    later = ("name", "version", "bound", "precision", "ranges")
    parts = {k: v for k, v in msgspec.to_builtins(MODEL.spec).items() if k not in later}
    assert not {"outliers", "ranges"} & _deciding(Settings()).keys()
    digest = hashlib.sha256(msgspec.json.encode([parts, _deciding(Settings())], order="deterministic"))
    for name, tensor in sorted(MODEL.state_dict().items()):
        digest.update(name.encode() + b"\0" + str(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    assert of() == digest.hexdigest()


def test_whether_a_null_value_is_told_of_makes_no_other_state() -> None:
    assert of(tombstones="skip") == of(tombstones="dead-letter") == of()

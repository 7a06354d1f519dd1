"""Outliers as a verification and a recovery see them: the policy makes the same state whoever applies it."""

import pytest

from streamrnn.errors import ConfigError

from .synthetic import DEAD, INPUT, OUTPUT, World, world
from .test_faults import facts

BOUNDS = {"topic": INPUT, "ranges": "x=-3:3,y=:2"}


def taken_over(policy: str) -> World:
    """Half served by one process; the other half by another, which makes the state anew from the input."""
    made = world(60, input=BOUNDS | {"outliers": policy})
    for topic in (OUTPUT, DEAD):
        made.logs.pop((topic, 0), None)
    made.serve(0, 0, 30)
    made.serve(0, 30, 60, since=0)
    return made


@pytest.mark.parametrize("policy", ["process", "clip", "missing", "dead-letter"])
async def test_every_policy_is_clean_after_a_recovery(policy: str) -> None:
    made = taken_over(policy)
    report = await made.verify(strict=True)
    assert report.is_clean, report
    codes = [facts(record)["__streamrnn.errors.code"] for record in made.logs[DEAD, 0]]
    assert (b"outlier" in codes) == (policy == "dead-letter")


async def test_the_policies_make_other_predictions_and_a_verification_by_another_policy_says_so() -> None:
    said = {policy: taken_over(policy) for policy in ("process", "clip", "missing")}
    values = {policy: [record.value for record in made.logs[OUTPUT, 0]] for policy, made in said.items()}
    assert values["process"] != values["clip"] != values["missing"] != values["process"]
    made = said["missing"]
    made.settings = said["clip"].settings
    with pytest.raises(ConfigError, match="settings that change a state"):
        await made.verify(strict=True)

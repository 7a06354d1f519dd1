"""The engine under whatever comes against the oracle: bits, statuses, who is forgotten, what snapshots hold."""

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamrnn.engine.step.policies import Order, Quarantine, rules_of
from streamrnn.ticks import STATUS

from .driven import Driven
from .oracle import BLOCK, Alone, Oracle, make_log
from .test_engine import make_model

ORDERS = st.builds(
    Order, st.booleans(), st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(0, 200_000))
)
QUARANTINES = st.builds(Quarantine, st.integers(1, 3), st.integers(1, 4))
CAPS = st.fixed_dictionaries(
    {
        "max_streams": st.integers(1, 3),
        "max_parked": st.integers(0, 3),
        "idle_after_ms": st.one_of(st.none(), st.integers(0, 600_000)),
    }
)
MODEL = make_model()


def drive(
    executor: str,
    seed: int,
    caps: dict[str, Any],
    order: Order,
    quarantine: Quarantine,
    cold: bool,
    ending: float = 0.0,
) -> Driven:
    """ending: the share of the log that is no tick but the end of a stream's state."""
    log, ends = make_log(seed, 120, 12), np.random.default_rng([seed, 1]).random(120) < ending
    room = len(log) if cold else caps["max_streams"] + caps["max_parked"]
    oracle = Oracle(Alone(MODEL, executor, rules_of(order, quarantine)), log, room, ends)
    driven = Driven(
        log, ends, oracle, np.random.default_rng(seed), cold, model=MODEL, executor=executor, block=BLOCK,
        order=order, quarantine=quarantine, **caps,
    )  # fmt: skip
    while not driven.is_done():
        driven.go_on()
    driven.check_end()
    return driven


@pytest.mark.parametrize(("executor", "examples"), [("compiled", 150), ("blocks", 12)])
@pytest.mark.parametrize("cold", [False, True])
def test_no_batches_caps_ends_undoing_snapshots_or_restarts_change_a_bit(
    executor: str, examples: int, cold: bool
) -> None:
    @given(st.integers(0, 2**31), CAPS, ORDERS, QUARANTINES, st.sampled_from([0.0, 0.1, 0.4]))
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(seed: int, caps: dict[str, Any], order: Order, quarantine: Quarantine, ending: float) -> None:
        drive(executor, seed, caps, order, quarantine, cold, ending)

    check()


def test_all_that_can_happen_does_within_a_few_logs() -> None:
    """Else the test above would say less than it seems to."""
    order, quarantine = Order(duplicate=True, out_of_order=True, late=True, late_after_ms=120_000), Quarantine(2, 3)
    caps = {"max_streams": 2, "max_parked": 1, "idle_after_ms": 240_000}
    happened: Counter[str] = Counter()
    for seed, cold, ending in product(range(8), (False, True), (0.1, 0.4)):
        if cold or ending < 0.4:
            driven = drive("compiled", seed, caps, order, quarantine, cold, ending)
            happened += driven.happened + Counter(STATUS[said.status] for said in driven.oracle.said.values())
            happened["found"] += driven.shelf.found
            happened["kept"] += len(driven.kept_at)
    due = {*STATUS, "undo", "restart", "drop", "kept", "found", "evicted", "forgotten", "brought_back", "told"}
    assert {name: happened[name] for name in due if happened[name] < 5} == {}

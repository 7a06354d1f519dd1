"""What becomes of a worker that has ended: the choice, as a table."""

import pytest

from streamrnn.errors import (
    BrokerError,
    BundleError,
    ConfigError,
    EngineError,
    NotInTime,
    StateError,
    StreamrnnError,
    WorkerFenced,
)
from streamrnn.supervising.restarts import Patience, Restarts

KILLED = 128 + 9


@pytest.mark.parametrize("error", [ConfigError, BundleError, StateError, WorkerFenced])
def test_what_would_come_back_ends_all_at_once(error: type[StreamrnnError]) -> None:
    assert Restarts().pause_s(error.exit_code, 1e6) is None


@pytest.mark.parametrize("code", [0, 1, EngineError.exit_code, BrokerError.exit_code, NotInTime.exit_code, KILLED])
def test_what_may_pass_costs_a_pause_that_doubles_until_patience_ends(code: int) -> None:
    restarts = Restarts()
    assert [restarts.pause_s(code, 3.0) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 16.0, None]


def test_a_long_life_forgets_the_short_ones_before_and_no_pause_is_too_long() -> None:
    restarts = Restarts(Patience(1.0, 3.0, 60.0, 5))
    assert [restarts.pause_s(KILLED, lived_s) for lived_s in (5, 5, 5, 60, 59)] == [1.0, 2.0, 3.0, 1.0, 2.0]

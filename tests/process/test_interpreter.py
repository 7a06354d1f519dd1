import gc
import sys

import pytest

from streamrnn.process.interpreter import GC_THRESHOLDS, SWITCH_INTERVAL_S, tuned_interpreter


def fail_while_tuned() -> None:
    with tuned_interpreter():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
        assert gc.get_threshold() == GC_THRESHOLDS
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
        raise KeyError


def test_the_interpreter_is_as_before_once_the_service_ends_even_by_an_error():
    before = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError):
        fail_while_tuned()
    assert (sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()) == before


def test_cycles_made_while_the_service_runs_are_still_collected():
    with tuned_interpreter():
        gc.collect()
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() == 1

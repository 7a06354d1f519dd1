import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.engine.step.waves import Waves


def slow_waves(slots: list[int]) -> list[list[int]]:
    """The obvious twin: tick i goes to wave (earlier ticks of its slot)."""
    waves: list[list[int]] = []
    for i, slot in enumerate(slots):
        k = slots[:i].count(slot)
        if k == len(waves):
            waves.append([])
        waves[k].append(i)
    return waves


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=80), min_size=1, max_size=4))
def test_wave_k_holds_every_rows_kth_tick_and_steps_a_prefix_of_the_rows(batches):
    waves = Waves()
    for slots in batches:
        plan = waves.plan(np.array(slots, dtype=np.int64), 9)
        at, sizes = 0, plan.sizes.tolist()
        for wave, size in zip(slow_waves(slots), sizes, strict=True):
            ticks = plan.order[at : at + size].tolist()
            assert sorted(ticks) == wave
            assert [slots[i] for i in ticks] == plan.rows[:size].tolist()
            at += size
        assert sizes == sorted(sizes, reverse=True)
        assert sorted(plan.rows.tolist()) == sorted(set(slots))

"""Where the state behind each prediction came from, in the words of the contract."""

import numpy as np
from numpy.typing import NDArray

from streamrnn.engine.rows.row_places import Index
from streamrnn.engine.rows.slots import Slots
from streamrnn.engine.step.outcome import Outcome
from streamrnn.engine.step.waves import Plan
from streamrnn.ticks import ORIGINS

NEW, CARRIED, RESTORED, WARMED = range(len(ORIGINS))


def origins_of(device: Slots, slots: Index, plan: Plan, outcome: Outcome, warm: bool) -> NDArray[np.uint8]:
    """Where each tick's state came from; the first tick stepped live after a warm-up or a load says so."""
    origin = np.where(outcome.steps == 1, NEW, CARRIED).astype(np.uint8)
    owed = device.origin[plan.rows]
    if warm:
        device.origin[plan.rows] = np.where(owed == RESTORED, RESTORED, WARMED)
    elif owed.any():
        told = np.flatnonzero((device.origin[slots] > 0) & (outcome.status == 0))
        told = told[np.unique(slots[told], return_index=True)[1]]
        origin[told] = np.where(outcome.steps[told] == 1, NEW, device.origin[slots[told]])
        device.origin[slots[told]] = 0
    return origin

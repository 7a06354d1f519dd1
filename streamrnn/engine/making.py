"""The engine as the settings want it: the daemon's and the one that verifies it are made here alike."""

from streamrnn.config import Settings
from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.cold import ColdTier
from streamrnn.engine.step.policies import Order, Quarantine
from streamrnn.nn.model import Model


def make_engine(model: Model, settings: Settings, cold: ColdTier | None = None) -> Engine:
    """An engine for `model`; `cold` finds the rows of streams that only snapshots hold."""
    given, limits = settings.input, settings.engine
    return Engine(
        model,
        max_streams=limits.max_streams,
        max_parked=limits.max_parked,
        idle_after_ms=_ms(limits.idle_after_s),
        device=limits.device,
        block=limits.block,
        order=Order(
            duplicate=given.duplicates != "process",
            out_of_order=given.out_of_order != "process",
            late=given.late != "process",
            late_after_ms=_ms(given.late_after_s),
        ),
        quarantine=Quarantine(limits.quarantine_after, limits.quarantine_retry),
        cold=cold,
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)

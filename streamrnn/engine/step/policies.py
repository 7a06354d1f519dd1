"""Which ticks are refused without a step, as the numbers both executors read. Decides nothing itself."""

from typing import NamedTuple

from streamrnn.ticks import STATUS

OK, NOT_FINITE, QUARANTINED, DUPLICATE, OUT_OF_ORDER, LATE = range(len(STATUS))


class Order(NamedTuple):
    """Which ticks to refuse; the first rule that is on and applies gives the reason.

    late: the event time is more than late_after_ms behind the stream's newest; duplicate: the order is that of the
    stream's newest tick; out_of_order: it is below. Only ticks that were stepped count as the stream's newest.
    """

    duplicate: bool = False
    out_of_order: bool = False
    late: bool = False
    late_after_ms: int | None = None


class Quarantine(NamedTuple):
    """After `after` ticks in a row that made no finite step, only every `retry`-th tick of the stream is tried."""

    after: int = 5
    retry: int = 1000


class Rules(NamedTuple):
    """Order and Quarantine as int64: late_after is below 0 where no tick is late."""

    duplicate: int
    out_of_order: int
    late_after: int
    after: int
    retry: int


def rules_of(order: Order, quarantine: Quarantine) -> Rules:
    """ValueError for a quarantine or a lateness that means nothing."""
    if quarantine.after < 1 or quarantine.retry < 1:
        raise ValueError(f"quarantine takes numbers from 1 on, not {quarantine}")
    late_after = order.late_after_ms if order.late else None
    if late_after is not None and late_after < 0:
        raise ValueError(f"late_after_ms cannot be {late_after}")
    return Rules(
        duplicate=int(order.duplicate),
        out_of_order=int(order.out_of_order),
        late_after=-1 if late_after is None else late_after,
        after=quarantine.after,
        retry=quarantine.retry,
    )

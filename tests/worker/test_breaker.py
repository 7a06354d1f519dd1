"""When the breaker opens, told by an oracle that keeps a flag for each record."""

from hypothesis import given
from hypothesis import strategies as st

from streamrnn.worker.breaker import Breaker

BATCHES = st.lists(
    st.tuples(st.integers(1, 30), st.floats(0, 1)).map(lambda b: (b[0], round(b[0] * b[1]))), max_size=60
)


def oracle(batches: list[tuple[int, int]], share: float, window: int) -> list[bool]:
    """Whether each batch trips the breaker: a flag for each record of the newest batches that fill it."""
    trips: list[bool] = []
    seen: list[list[bool]] = []
    for records, dead in batches:
        seen.append([True] * dead + [False] * (records - dead))
        newest: list[bool] = []
        for batch in reversed(seen):
            if len(newest) >= window:
                break
            newest += batch
        trips.append(len(newest) >= window and sum(newest) > share * len(newest))
        if trips[-1]:
            seen = []
    return trips


@given(batches=BATCHES, share=st.sampled_from([0.1, 0.5, 0.9, 1.0]), window=st.integers(1, 80))
def test_the_breaker_opens_exactly_when_the_newest_full_window_holds_more_than_its_share(
    batches: list[tuple[int, int]], share: float, window: int
) -> None:
    breaker, opened = Breaker(share, window, pause_s=1.0), []
    for n, (records, dead) in enumerate(batches):
        now_s = 10.0 * n
        assert not breaker.is_open(now_s)
        breaker.count(records, dead, now_s)
        opened.append(breaker.is_open(now_s))
    assert opened == oracle(batches, share, window)


def test_the_breaker_closes_after_its_pause_and_needs_a_full_window_to_open_again() -> None:
    breaker = Breaker(share=0.5, window=10, pause_s=3.0)
    breaker.count(10, 6, now_s=100.0)
    assert breaker.is_open(102.9)
    assert not breaker.is_open(103.0)
    breaker.count(9, 9, now_s=103.0)
    assert not breaker.is_open(103.0)
    breaker.count(1, 0, now_s=103.0)
    assert breaker.is_open(103.0)

"""What a history leaves out is what the engine would have refused."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrnn.config import Settings
from streamrnn.engine.making import make_engine
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.retraining.ordering import Ordering
from streamrnn.ticks import Endings, TickBatch

MODEL = Model(ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=2))
ENDS = 5
POLICY = st.sampled_from(["process", "drop", "dead-letter"])
TICKS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, ENDS)), max_size=30)


def batch(acts: list[tuple[int, int, int]]) -> TickBatch:
    """Ticks of (stream, seconds, sequence), all of partition 0; a sequence of ENDS ends the stream's state."""
    ticks = [act for act in acts if act[2] != ENDS]
    ends = [(at, stream) for at, (stream, _, number) in enumerate(acts) if number == ENDS]
    before = np.array([at - n for n, (at, _) in enumerate(ends)], np.int64)
    endings = Endings(before, np.zeros(len(ends), np.int32), [b"%d" % s for _, s in ends]) if ends else None
    n = len(ticks)
    time_ms = np.array([1000 * seconds for _, seconds, _ in ticks], np.int64)
    row, order = np.arange(n, dtype=np.int64), np.array([number for *_, number in ticks], np.int64)
    streams = [b"%d" % stream for stream, *_ in ticks]
    values = np.ones((n, 1), np.float32)
    return TickBatch(np.zeros(n, np.int32), row, time_ms, time_ms, streams, values, order, endings)


@settings(max_examples=150, deadline=None)
@given(
    ticks=TICKS,
    cut=st.integers(0, 30),
    policies=st.tuples(POLICY, POLICY, POLICY),
    after_s=st.sampled_from([None, 0.5, 3.0]),
)
def test_the_history_refuses_for_their_order_the_ticks_that_the_engine_refuses(
    ticks: list[tuple[int, int, int]], cut: int, policies: tuple[str, str, str], after_s: float | None
) -> None:
    named = dict(zip(("duplicates", "out_of_order", "late"), policies, strict=True))
    given_settings = Settings(input=named | {"late_after_s": after_s}, engine={"device": "cpu"})
    ordering, engine = Ordering(given_settings.input), make_engine(MODEL, given_settings)
    for part in (ticks[:cut], ticks[cut:]):
        said = ordering.judge(batch(part))
        if part:
            assert said.tolist() == engine.step(batch(part)).status.tolist()

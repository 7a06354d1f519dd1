"""Looks over whole columns say what numpy's reductions say, whatever is in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamrnn.codecs.compiled.loop_arguments import laid_out
from streamrnn.codecs.compiled.surveys import are_finite, are_near, narrow, spread, total
from streamrnn.codecs.value_columns import in_precision
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import FAR_MS, Spans, TickBatch, far_times
from streamrnn.ticks.byte_spans import uniform

INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-2 * FAR_MS, 2 * FAR_MS)
shapes = st.tuples(st.integers(0, 9), st.integers(1, 3))
anything = arrays(np.uint64, shapes).map(lambda bits: bits.view(np.float64))
numbers = anything | arrays(np.float64, shapes, elements=st.floats(-1e39, 1e39))


@given(numbers, st.sampled_from(["float32", "float64"]))
def test_numbers_are_narrowed_and_found_finite_as_numpy_does(wide, precision):
    spec = ModelSpec(name="t", features=("a",), targets=("a",), channels=(Channel("a"),), precision=precision)
    into = np.empty(wide.shape, precision)
    narrow(wide, into)
    expected = in_precision(wide, spec)
    assert np.array_equal(into, expected, equal_nan=True)
    assert (into == 0)[expected == 0].all()
    assert np.array_equal(np.signbit(into), np.signbit(expected))
    assert are_finite(into) == np.isfinite(expected).all()


@given(st.lists(INT64, min_size=1, max_size=9))
def test_the_spread_of_whole_numbers(drawn):
    sizes = [abs(number) if number > -(2**63) else 0 for number in drawn]
    assert spread(np.array(drawn)) == (min(drawn), max(drawn), min(sizes))


@given(st.lists(st.tuples(INT64, INT64 | st.just(-1)), max_size=9))
def test_no_time_is_far_where_all_are_near(drawn):
    times, arrivals = np.array(drawn, np.int64).reshape(-1, 2).T.copy()
    none = np.zeros(len(drawn), np.int64)
    batch = TickBatch(none.astype(np.int32), none, times, arrivals, [b""] * len(drawn), np.zeros((0, 1)), times)
    with np.errstate(over="ignore"):
        if are_near(times, arrivals, FAR_MS):
            assert not far_times(batch)[np.abs(arrivals) < 2**62].any()
    if all(abs(a - b) <= FAR_MS for a, b in drawn):
        assert are_near(times, arrivals, FAR_MS)


@given(st.lists(st.integers(0, 2**40), max_size=9))
def test_the_total_of_sizes(sizes):
    assert total(np.array(sizes, np.int64)) == sum(sizes)


@pytest.mark.parametrize(
    ("start", "size"), [(-1, 1), (3, 2), (5, 0), (0, 5), (2**63 - 1, 1), (1, 2**63 - 1), (-(2**63), 0), (5, -1)]
)
def test_a_string_outside_its_buffer_reaches_no_loop(start, size):
    data, first = np.zeros(4, np.uint8), (0, 4)
    laid_out(Spans(data, np.array([first[0], 4]), np.array([first[1], 0])))
    with pytest.raises(ValueError, match="outside"):
        laid_out(Spans(data, np.array([first[0], start]), np.array([first[1], size])))


def test_an_array_is_handed_to_loops_as_it_is_where_it_is_of_the_one_type():
    held = np.arange(6.0).reshape(2, 3)
    fixed = held.view()
    fixed.flags.writeable = False
    assert uniform(held) is held
    for other in (fixed, held.T, held[:, 1:], held[:, 0]):
        assert uniform(other).flags.carray
        assert np.array_equal(uniform(other), other)
    assert all(part.flags.carray for part in Spans.of([b"ab", None, b""]).parts())

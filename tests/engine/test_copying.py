"""Copies that arrive later are of the moment they were asked for. Without CUDA the stream is a stand-in."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from streamrnn.engine.engine import Engine
from streamrnn.engine.rows.copying import SideStream
from streamrnn.engine.rows.slab import Slab
from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec
from streamrnn.ticks import StreamRows, TickBatch

SPEC = ModelSpec(name="toy", features=("x",), targets=("x",), channels=(Channel("x"),), hidden=4)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def ticks(first: int, streams: list[bytes]) -> TickBatch:
    n = len(streams)
    offset = np.arange(first, first + n)
    x = np.sin(offset, dtype=np.float32)[:, None]
    return TickBatch(np.zeros(n, np.int32), offset, offset, offset, streams, x, offset)


def by_stream(slices: list[StreamRows]) -> dict[bytes, tuple[bytes, bytes]]:
    return {s: (f.tobytes(), i.tobytes()) for rows in slices for s, f, i in zip(*rows, strict=True)}


@pytest.mark.parametrize("device", DEVICES)
def test_rows_are_as_they_were_when_the_copy_began(device: str) -> None:
    fresh = {"a": torch.arange(3.0).reshape(1, 3), "b": torch.tensor([7])}
    slab = Slab({name: row.to(device) for name, row in fresh.items()}, torch.device(device))
    slab.grow(8)
    wait = SideStream(torch.device(device)).copy(slab.gather(torch.tensor([1, 5], device=device)))
    slab.rows.floats.zero_()
    slab.rows.integers.zero_()
    floats, integers = wait()
    assert floats.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert integers.tolist() == [[7], [7]]


@pytest.mark.parametrize("device", DEVICES)
def test_a_capture_whose_slices_are_waited_for_at_its_end_is_of_its_beginning(device: str) -> None:
    names = [b"s%d" % n for n in range(40)]
    engine = Engine(Model(SPEC), max_streams=30, max_parked=10, device=device)
    engine.step(ticks(0, names))
    whole = engine.capture(0, full=True)
    expected = list(iter(lambda: whole.take(100), None))
    capture, readings = engine.capture(0, full=True), list[Callable[[], StreamRows]]()
    for n in range(6):
        reading = capture.take_soon(4)
        assert reading is not None
        readings.append(reading)
        engine.step(ticks(40 + 7 * n, names[5 * n : 5 * n + 7]))
    readings += iter(lambda: capture.take_soon(4), None)
    assert by_stream([reading() for reading in readings]) == by_stream(expected)

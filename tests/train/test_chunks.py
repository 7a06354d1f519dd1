"""Pieces and chunks against streams stepped tick by tick from their beginnings."""

import math

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, MissingPolicy, ModelSpec, Predicts
from streamrnn.train.chunks import Chunk, ChunkReader, Piece, cut_pieces, group
from streamrnn.train.history import Extent, History

from .histories import history_of, shaky_streams

SPEC = ModelSpec(
    name="t",
    features=("a", "b"),
    targets=("b", "a"),
    channels=(Channel("a"), Channel("b", "difference"), Channel("a", "log_return"), Channel("b", "level")),
    time_features=("hour", "weekday", "log_gap"),
    hidden=3,
    horizons=(1, 4),
)
LENGTHS = (40, 1, 23, 7)


@st.composite
def some_extents(draw: st.DrawFn) -> list[Extent]:
    """Extents of streams side by side, some of which begin before their extents."""
    extents, at = [], 0
    for before, length, after in draw(st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=1, max_size=5)):
        extents.append(Extent(at + before, at + before + length + 1, at))
        at += before + length + 1 + after
    return extents


@given(some_extents(), st.integers(1, 40), st.integers(0, 40), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_every_tick_of_every_extent_counts_in_one_piece(
    extents: list[Extent], longest: int, burn_in: int, offset: int
) -> None:
    pieces = cut_pieces(extents, longest, burn_in, offset)
    counting = [tick for piece in pieces for tick in range(piece.counts_from, piece.stop)]
    assert counting == [tick for extent in extents for tick in range(extent.start, extent.stop)]
    for piece in pieces:
        [extent] = [e for e in extents if e.start <= piece.counts_from < e.stop]
        assert 1 <= piece.stop - piece.counts_from <= longest
        assert piece.start == max(extent.stream_start, piece.counts_from - burn_in)
        assert (piece.stream_start, piece.limit) == (extent.stream_start, extent.stop)


def test_an_offset_moves_the_cuts() -> None:
    stops = [[p.stop for p in cut_pieces([Extent(10, 40, 0)], 12, 5, offset)] for offset in (0, 5, 11)]
    assert stops == [[22, 34, 40], [17, 29, 40], [11, 23, 35, 40]]


@given(some_extents(), st.integers(1, 9), st.integers(1, 7))
def test_groups_hold_each_piece_once_like_beside_like(extents: list[Extent], longest: int, width: int) -> None:
    pieces = cut_pieces(extents, longest, 3)
    groups = group(pieces, width)
    assert sorted(piece for batch in groups for piece in batch) == sorted(pieces)
    assert [len(batch) for batch in groups[:-1]] == [width] * (len(groups) - 1)
    lengths = [piece.stop - piece.start for batch in groups for piece in batch]
    assert lengths == sorted(lengths, reverse=True)


def make_model(spec: ModelSpec) -> Model:
    torch.manual_seed(5)
    model = Model(spec)
    model.set_stats(**{name: (torch.rand(rows.shape) + 0.5).numpy() for name, rows in model.named_buffers()})
    return model


def stepped(model: Model, history: History) -> tuple[Tensor, Tensor]:
    """The columns x (N, D) and filled features (N, F) of every stream, one tick after the other from its first."""
    columns, filled = [], []
    for start, stop in zip(history.starts[:-1].tolist(), history.starts[1:].tolist(), strict=True):
        state = model.state(1)
        for at in range(start, stop):
            values = torch.from_numpy(history.values[at : at + 1])
            x, full, carried = model.inputs(values, torch.tensor([int(history.time_ms[at])]), state)
            state |= carried
            columns.append(x)
            filled.append(full)
    return torch.cat(columns), torch.cat(filled)


def read(reader: ChunkReader, pieces: list[Piece]) -> Chunk:
    """All chunks as one."""
    chunks = list(reader.read(pieces))
    x, base, truth = (torch.cat([getattr(c, name) for c in chunks]) for name in ("x", "base", "truth"))
    return Chunk(x, base, truth, chunks[0].scale)


def ones(history: History, targets: int = 2) -> np.ndarray:
    return np.ones((len(history.streams), targets), np.float32)


EVERYWHERE = [
    Piece(0, 40, 0, 0, 40),
    Piece(12, 33, 20, 0, 33),
    Piece(40, 41, 40, 40, 41),
    Piece(50, 64, 50, 41, 64),
]


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("missing", ["carry", "mask", "reject"])
@pytest.mark.parametrize("bound", [None, 1.5])
@pytest.mark.parametrize(
    "channels", [SPEC.channels, (Channel("a"), Channel("b")), (Channel("b", "log_return"),), ()]
)
def test_a_piece_reads_what_its_stream_would_say_stepped_from_its_beginning(
    missing: MissingPolicy, channels: tuple[Channel, ...], chunk: int, bound: float | None
) -> None:
    spec = ModelSpec(
        name="t",
        features=SPEC.features,
        targets=SPEC.targets,
        channels=channels,
        time_features=SPEC.time_features,
        missing=missing,
        bound=bound,
    )
    history, model = history_of(SPEC.features, shaky_streams(3, LENGTHS, 2)), make_model(spec)
    x, filled = stepped(model, history)
    said = read(ChunkReader(history, model, chunk, ones(history)), EVERYWHERE)
    assert said.x.shape == (40, 4, spec.input_width)
    if bound is not None and channels:
        inputs, most = x[:, : len(channels)].abs(), model.channel_bound
        assert (inputs <= most).all()
        assert ((inputs == 0).sum(0) > 0).any(), "some are beyond"
    for column, piece in enumerate(EVERYWHERE):
        own = slice(piece.start, piece.stop)
        assert torch.equal(said.x[: piece.stop - piece.start, column], x[own])
        assert torch.equal(said.base[: piece.stop - piece.start, column], filled[own][:, [1, 0]])


@pytest.mark.parametrize("bound", [None, 1.5])
@pytest.mark.parametrize("predicts", ["change", "log_change"])
def test_the_skip_sees_the_lags_that_a_stream_stepped_from_its_beginning_carries(
    predicts: Predicts, bound: float | None
) -> None:
    spec = msgspec.structs.replace(SPEC, lags=5, predicts=predicts, bound=bound)
    history, model = history_of(SPEC.features, shaky_streams(3, LENGTHS, 2)), make_model(spec)
    said = [chunk.relative for chunk in ChunkReader(history, model, 100, ones(history)).read(EVERYWHERE)]
    assert len(said) == 1
    assert said[0] is not None
    relative = said[0].reshape(40, 4, 2, 5)
    for column, piece in enumerate(EVERYWHERE):
        state = model.state(1)
        for at in range(piece.stream_start, piece.stop):
            values, time_ms = history.values[at : at + 1], int(history.time_ms[at])
            before = state["lags"].reshape(1, 5, 2)
            state = model.step(torch.from_numpy(values), torch.tensor([time_ms]), state).state
            if at >= piece.start:
                expected = model.relative(before, state["last"][:, [1, 0]])
                assert torch.equal(relative[at - piece.start, column], expected[0])


@given(seed=st.integers(0, 1000), data=st.data(), chunk=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_the_truth_is_the_value_so_many_ticks_ahead_where_it_lies_in_the_part_and_counts(
    seed: int, data: st.DataObject, chunk: int
) -> None:
    history = history_of(SPEC.features, shaky_streams(seed, LENGTHS, 2))
    starts, stops = history.starts[:-1].tolist(), history.starts[1:].tolist()
    pieces = []
    for start, end in zip(starts, stops, strict=True):
        stop = data.draw(st.integers(start + 1, end))
        limit = data.draw(st.integers(stop, end))
        counts_from = data.draw(st.integers(start, stop - 1))
        pieces.append(Piece(data.draw(st.integers(start, counts_from)), stop, counts_from, start, limit))
    truth = read(ChunkReader(history, make_model(SPEC), chunk, ones(history)), pieces).truth
    for column, piece in enumerate(pieces):
        for row in range(len(truth)):
            at = piece.start + row
            for k, horizon in enumerate(SPEC.horizons):
                counts = piece.counts_from <= at < piece.stop and at + horizon < piece.limit
                expected = history.values[at + horizon][[1, 0]] if counts else np.array([math.nan] * 2)
                np.testing.assert_array_equal(truth[row, column, k].numpy(), expected)


def test_no_truth_is_beyond_the_part_even_in_the_last_piece_of_it() -> None:
    """The value after the part is a million, and none of its truths is."""
    streams = shaky_streams(1, (30,), 2)
    streams["s0"][20:] = [(time_ms, (1e6, 1e6)) for time_ms, _ in streams["s0"][20:]]
    history = history_of(SPEC.features, streams)
    pieces = cut_pieces([Extent(0, 20, 0)], 6, 3)
    said = read(ChunkReader(history, make_model(SPEC), 5, ones(history)), pieces)
    assert said.truth.nan_to_num().abs().max() < 1000
    assert said.base.abs().max() < 1000


def test_each_piece_has_the_scale_of_its_stream() -> None:
    history = history_of(SPEC.features, shaky_streams(3, LENGTHS, 2))
    scales = np.arange(8, dtype=np.float32).reshape(4, 2)
    pieces = [
        Piece(70, 71, 70, 64, 71),
        Piece(0, 5, 0, 0, 40),
        Piece(41, 50, 41, 41, 50),
        Piece(40, 41, 40, 40, 41),
    ]
    chunk = next(ChunkReader(history, make_model(SPEC), 8, scales).read(pieces))
    assert chunk.scale[:, 0].tolist() == scales[[3, 0, 2, 1]].tolist()
    assert chunk.scale.shape == (4, 1, 2)

"""Fits a model to the training part of a history: truncated back-propagation through time, stopped early.

The state goes from chunk to chunk and is detached between them (Williams & Peng 1990). Owns the optimiser and
what a checkpoint of it holds; knows neither files nor Kafka. Shapes: T ticks, B pieces, H hidden.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamrnn.errors import ConfigError, DataError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.train.average import Average
from streamrnn.train.checkpoint import Checkpoints, FitProgress, Folder, Nowhere, Saved, identify
from streamrnn.train.chunks import Chunk, ChunkReader, Piece, cut_pieces, group
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.losses import Total, total_loss
from streamrnn.train.optimizer import make_optimizer, remember, remembered, set_rate
from streamrnn.train.recipe import DeviceName, Epoch, Recipe
from streamrnn.train.sequence import Sequencer
from streamrnn.train.standardising import set_statistics, stream_scales
from streamrnn.train.team import Solo, Team

__all__ = ["Average", "Epoch", "Fit", "Fitted", "Recipe", "Watch", "fit"]

Watch = Callable[[Epoch], None]
"""Told after each epoch, in rank 0."""


@dataclass(slots=True)
class Fitted:
    """The model with the weights of its best epoch, and every epoch's numbers."""

    model: Model
    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0


def fit(
    spec: ModelSpec,
    history: History,
    split: Split,
    recipe: Recipe,
    watch: Watch | None = None,
    *,
    team: Team | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """A model of `spec` fitted to the split's training part, on the validation part's advice; it is on the CPU.

    team: those that fit together, all with the same arguments; every rank returns the same. checkpoint: a folder
    where rank 0 keeps each epoch; resume: go on from the last one kept there, if there is one, to the same bits.
    DataError when a part is too short to have a truth, when the loss is no longer finite, and when a checkpoint
    cannot be written, is damaged, or is of another fit.
    """
    torch.manual_seed(recipe.seed)
    model = Model(spec)
    set_statistics(model, history, split.train)
    checkpoints: Checkpoints = Nowhere()
    if checkpoint is not None:
        checkpoints = Folder(checkpoint, identify(spec, recipe, history, split))
    under_way = Fit(model.to(device_of(recipe.device)), history, split, recipe, team, checkpoints)
    if resume:
        under_way.go_on()
    return under_way.run(watch or (lambda epoch: None))


def device_of(name: DeviceName) -> torch.device:
    """The device by name; ConfigError when it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the device is to be cuda, and torch finds no GPU")
    has_gpu = name != "cpu" and torch.cuda.is_available()
    return torch.device("cuda", torch.cuda.current_device()) if has_gpu else torch.device("cpu")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Fit:
    """A fit under way: the model, its optimiser and how far it has come."""

    def __init__(
        self,
        model: Model,
        history: History,
        split: Split,
        recipe: Recipe,
        team: Team | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._model, self._split, self._recipe = model, split, recipe
        self._team: Team = team or Solo()
        self._checkpoints: Checkpoints = checkpoints or Nowhere()
        scales = np.ones((len(history.streams), len(model.spec.targets)), dtype=np.float32)
        if recipe.by_stream:
            scales = np.maximum(stream_scales(model, history, split.train), np.float32(recipe.calmest))
        self._reader = ChunkReader(history, model, recipe.chunk, scales)
        self._sequencer = Sequencer(model.stack, recipe.dropout)
        self._loss = model.head_kind.loss(recipe.loss)
        self._parameters = list(model.parameters())
        self._names = [name for name, _ in model.named_parameters()]
        self._optimizer = make_optimizer(model, recipe)
        self._average = Average(self._parameters, recipe.average)
        self._fitted = Fitted(model)
        self._best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self._seconds = 0.0

    def run(self, watch: Watch) -> Fitted:
        """Epochs until they are used up, nothing gets better, or time is up; then the best one's weights."""
        began = time.perf_counter() - self._seconds
        with _threads(self._recipe.threads):
            while not self._is_over():
                epoch = self._epoch(len(self._fitted.epochs) + 1)
                self._fitted.epochs.append(epoch)
                self._seconds = time.perf_counter() - began
                if self._team.rank == 0:
                    self._checkpoints.save(self._saved())
                    watch(epoch)
                self._seconds = time.perf_counter() - began
        self._model.load_state_dict(self._best)
        self._fitted.model = self._model.cpu().eval()
        return self._fitted

    def go_on(self) -> None:
        """From what the checkpoints hold, if they hold anything."""
        saved = self._checkpoints.load(self._team)
        if saved is None:
            return
        self._fitted.epochs, self._fitted.best = list(saved.progress.epochs), saved.progress.best
        self._seconds = saved.progress.seconds
        try:
            self._best = saved.part("best")
            self._model.load_state_dict(saved.part("weights"))
            self._average.go_on([saved.part("mean")[name] for name in self._names], saved.progress.steps)
            remember(self._optimizer, self._model, saved.part("adam"))
        except (KeyError, RuntimeError) as error:
            raise DataError(f"the checkpoint is of another version of this program: {error}") from error

    def _saved(self) -> Saved:
        progress = FitProgress(
            epochs=self._fitted.epochs, best=self._fitted.best, steps=self._average.steps, seconds=self._seconds
        )
        parts = {
            "weights": self._model.state_dict(),
            "best": self._best,
            "mean": dict(zip(self._names, self._average.means, strict=True)),
            "adam": remembered(self._optimizer, self._model),
        }
        return Saved.of(progress, parts)

    def _is_over(self) -> bool:
        """As rank 0 says: clocks differ."""
        recipe, done = self._recipe, len(self._fitted.epochs)
        late = recipe.budget_s is not None and self._seconds > recipe.budget_s
        stuck = done - self._fitted.best >= recipe.patience
        said = torch.tensor([done >= recipe.epochs or (done > 0 and (late or stuck))])
        self._team.spread(said)
        return bool(said)

    def _keep_if_best(self, number: int, validation_loss: float) -> None:
        epochs, best = self._fitted.epochs, self._fitted.best
        if validation_loss < (epochs[best - 1].validation_loss if best else math.inf):
            self._fitted.best = number
            self._best = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def _epoch(self, number: int) -> Epoch:
        began = time.perf_counter()
        rate = set_rate(self._optimizer, self._recipe, number)
        train_loss, norms = self._train(number)
        with self._average.in_place():
            validation_loss = self.loss_on(self._split.validation or self._split.train)
            self._keep_if_best(number, validation_loss)
        if not math.isfinite(train_loss + validation_loss):
            raise DataError(
                f"the loss of epoch {number} is not finite (largest gradient norm {max(norms):.3g}): "
                "lower the learning rate, or look for outliers in the training part"
            )
        seconds = time.perf_counter() - began
        return Epoch(number, train_loss, validation_loss, float(np.mean(norms)), max(norms), rate, seconds)

    def _pieces(self, extents: Sequence[Extent], offset: int = 0) -> list[list[Piece]]:
        recipe = self._recipe
        ticks = sum(extent.length for extent in extents)
        longest = recipe.longest or max(recipe.chunk, -(-ticks // recipe.width))
        return group(cut_pieces(extents, longest, recipe.burn_in, offset % longest), recipe.width)

    def _train(self, number: int) -> tuple[float, list[float]]:
        """Every batch of pieces once, in an order and cut at places of the epoch's own; so are its dropouts."""
        seed = self._recipe.seed, number
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(np.random.SeedSequence((*seed, self._team.rank)).generate_state(1)[0]))
        self._model.train()
        batches = self._pieces(self._split.train, int(rng.integers(1 << 30)))
        total, count, norms = 0.0, 0.0, []
        for at in rng.permutation(len(batches)).tolist():
            for part, norm in self._train_batch(batches[at]):
                total, count = total + float(part.summed), count + float(part.terms)
                norms.append(norm)
        if not count:
            raise DataError("the training part is too short: no tick in it has its truth in it")
        return total / count, norms

    def _train_batch(self, pieces: list[Piece]) -> list[tuple[Total, float]]:
        """One step of the optimiser for each chunk with something to learn; its loss and gradient norm.

        All ranks make as many, whatever pieces are theirs.
        """
        steps, chunks, longest = [], self._chunks(pieces), max(piece.stop - piece.start for piece in pieces)
        state = self._model.state(len(self._own(pieces)))
        for _ in range(0, longest, self._recipe.chunk):
            self._optimizer.zero_grad(set_to_none=True)
            part, state = self._gradients(next(chunks, None), state)
            part = self._team.join(self._parameters, part)
            if part.terms:
                norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip)
                self._optimizer.step()
                self._average.take()
                steps.append((part, float(norm)))
        return steps

    def _own(self, pieces: list[Piece]) -> list[Piece]:
        """Those of a batch that are this rank's: dealt out one by one, for they are in order of length."""
        return pieces[self._team.rank :: self._team.size]

    def _chunks(self, pieces: list[Piece]) -> Iterator[Chunk]:
        own = self._own(pieces)
        return self._reader.read(own) if own else iter(())

    def _gradients(self, chunk: Chunk | None, state: dict[str, Tensor]) -> tuple[Total, dict[str, Tensor]]:
        """The loss of a chunk, with the gradients of its mean, and the state after it, detached."""
        if chunk is None:
            nothing = torch.zeros((), device=self._parameters[0].device)
            return Total(nothing, nothing), state
        head, state = self._forward(chunk, state, training=True)
        part = total_loss(self._model, self._loss, head, chunk)
        if part.terms:
            torch.autograd.backward(part.summed / part.terms)
        return Total(part.summed.detach(), part.terms), {name: rows.detach() for name, rows in state.items()}

    def _forward(self, chunk: Chunk, state: dict[str, Tensor], training: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """A chunk to standardised head outputs (T, B, K, O, Q) and the state after it."""
        spec, shape = self._model.spec, chunk.x.shape[:2]
        outputs, state = self._sequencer.run(chunk.x, state, training)
        outputs = functional.dropout(outputs, self._recipe.dropout, training)
        head = self._model.head(outputs).reshape(*shape, len(spec.horizons), len(spec.targets), -1)
        if chunk.relative is not None:
            head = head + self._model.from_lags(chunk.relative).reshape(head.shape)
        return head, state

    def loss_on(self, extents: Sequence[Extent]) -> float:
        """Mean loss over the validation part, or another, each piece warmed up by the ticks before it.

        DataError without a truth in it.
        """
        total, count = self._summed_on(extents)
        if not count:
            raise DataError("the validation part is too short: no tick in it has its truth in it")
        return total / count

    @torch.no_grad()
    def _summed_on(self, extents: Sequence[Extent]) -> tuple[float, float]:
        """The sum of the losses over a part of the history and the number of its terms, over all ranks."""
        self._model.eval()
        total = count = 0.0
        for pieces in self._pieces(extents):
            state = self._model.state(len(self._own(pieces)))
            for chunk in self._chunks(pieces):
                head, state = self._forward(chunk, state, training=False)
                part = total_loss(self._model, self._loss, head, chunk)
                total, count = total + float(part.summed), count + float(part.terms)
        both = torch.tensor([total, count], dtype=torch.float64)
        self._team.sum(both)
        return float(both[0]), float(both[1])

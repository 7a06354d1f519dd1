"""Fits a model to the training part of a history: truncated back-propagation through time, stopped early.

The state goes from chunk to chunk and is detached between them (Williams & Peng 1990). Owns the optimiser;
knows neither files nor Kafka. Shapes: T ticks, B pieces, H hidden.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional

from streamrnn.errors import DataError
from streamrnn.nn.model import Model
from streamrnn.nn.spec import ModelSpec
from streamrnn.train.chunks import Chunk, ChunkReader, Piece, cut_pieces, group
from streamrnn.train.history import Extent, History, Split
from streamrnn.train.losses import Loss, LossName, Total, make_loss, total_loss
from streamrnn.train.sequence import Sequencer
from streamrnn.train.statistics import set_statistics, stream_scales


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fit. chunk: ticks back-propagated through; width: pieces side by side; longest: ticks of a piece
    (0: as many as fill `width` pieces evenly); burn_in: ticks that only warm a piece's state up; patience:
    epochs without a better validation loss before the end; budget_s: wall time after which no epoch begins;
    average: how much of the running mean of the weights each step keeps, 0 for none; that mean is what is
    validated and returned (Polyak & Juditsky 1992);
    by_stream: divide each stream's errors by the size of its own changes, lest the lively drown the calm;
    threads: of the CPU. Steps of small networks wait longer for a second one than it helps, most of all on a
    busy machine."""

    epochs: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    chunk: int = 64
    width: int = 32
    longest: int = 0
    burn_in: int = 64
    dropout: float = 0.0
    loss: LossName = "mse"
    patience: int = 12
    warm_up: int = 2
    average: float = 0.99
    seed: int = 1
    budget_s: float | None = None
    by_stream: bool = False
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass: mean losses, the mean and largest norm of the gradients before clipping, and what it took."""

    number: int
    train_loss: float
    validation_loss: float
    gradient_norm: float
    largest_gradient_norm: float
    learning_rate: float
    seconds: float


@dataclass(slots=True)
class Fitted:
    """The model with the weights of its best epoch, and every epoch's numbers."""

    model: Model
    epochs: list[Epoch] = field(default_factory=list)
    best: int = 0


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Watch = Callable[[Epoch], None]
"""Told after each epoch."""


def fit(spec: ModelSpec, history: History, split: Split, recipe: Recipe, watch: Watch | None = None) -> Fitted:
    """A model of `spec` fitted to the split's training part, on the validation part's advice.

    DataError when a part is too short to have a truth, or when the loss is no longer finite.
    """
    torch.manual_seed(recipe.seed)
    model = Model(spec)
    set_statistics(model, history, split.train)
    return Fit(model, history, split, recipe).run(watch or (lambda epoch: None))


class Average:
    """A running mean of parameters, young ones counting more at first; `keep` 0 has none."""

    def __init__(self, parameters: list[torch.nn.Parameter], keep: float) -> None:
        self._parameters, self._keep = parameters, keep
        self._means = [parameter.detach().clone() for parameter in parameters]
        self._steps = 0

    @torch.no_grad()
    def take(self) -> None:
        """Another step was made."""
        self._steps += 1
        keep = min(self._keep, (1 + self._steps) / (10 + self._steps))
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The parameters are their means for the length of a `with`."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean[...], parameter[...] = parameter.clone(), mean.clone()


class Fit:
    """A fit under way: the model, its optimiser and how far it has come."""

    def __init__(self, model: Model, history: History, split: Split, recipe: Recipe) -> None:
        self._model, self._split, self._recipe = model, split, recipe
        scales = np.ones((len(history.streams), len(model.spec.targets)), dtype=np.float32)
        if recipe.by_stream:
            scales = stream_scales(model, history, split.train)
        self._reader = ChunkReader(history, model, recipe.chunk, scales)
        self._sequencer = Sequencer(model.stack, recipe.dropout)
        self._loss: Loss = make_loss(recipe.loss, model.spec)
        decayed = [p for p in model.parameters() if p.dim() > 1]
        plain = [p for p in model.parameters() if p.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        self._average = Average(list(model.parameters()), recipe.average)
        self._fitted = Fitted(model)
        self._best_loss = math.inf
        self._best = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def run(self, watch: Watch) -> Fitted:
        """Epochs until they are used up, nothing gets better, or time is up; then the best one's weights."""
        began = time.perf_counter()
        with _threads(self._recipe.threads):
            self._run(watch, began)
        self._model.load_state_dict(self._best)
        self._model.eval()
        return self._fitted

    def _run(self, watch: Watch, began: float) -> None:
        for number in range(1, self._recipe.epochs + 1):
            epoch = self._epoch(number)
            self._fitted.epochs.append(epoch)
            watch(epoch)
            budget_s = self._recipe.budget_s
            late = budget_s is not None and time.perf_counter() - began > budget_s
            if late or number - self._fitted.best >= self._recipe.patience:
                return

    def _keep_if_best(self, number: int, validation_loss: float) -> None:
        if validation_loss < self._best_loss:
            self._best_loss, self._fitted.best = validation_loss, number
            self._best = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def _epoch(self, number: int) -> Epoch:
        began = time.perf_counter()
        rate = self._set_rate(number)
        train_loss, norms = self._train(number)
        with self._average.in_place():
            total, count = self._summed_on(self._split.validation or self._split.train)
            self._keep_if_best(number, total / count if count else math.nan)
        if not count:
            raise DataError("the validation part is too short: no tick in it has its truth in it")
        validation_loss = total / count
        if not math.isfinite(train_loss + validation_loss):
            raise DataError(
                f"the loss of epoch {number} is not finite (largest gradient norm {max(norms):.3g}): "
                "lower the learning rate, or look for outliers in the training part"
            )
        seconds = time.perf_counter() - began
        return Epoch(number, train_loss, validation_loss, float(np.mean(norms)), max(norms), rate, seconds)

    def _set_rate(self, number: int) -> float:
        """A linear warm-up, then half a cosine to a twentieth (Loshchilov & Hutter 2017)."""
        recipe = self._recipe
        warm = min(1.0, number / (recipe.warm_up + 1))
        along = max(0, number - recipe.warm_up - 1) / max(1, recipe.epochs - recipe.warm_up - 1)
        rate = recipe.learning_rate * warm * (0.05 + 0.95 * (1 + math.cos(math.pi * along)) / 2)
        for part in self._optimizer.param_groups:
            part["lr"] = rate
        return rate

    def _pieces(self, extents: Sequence[Extent], offset: int = 0) -> list[list[Piece]]:
        recipe = self._recipe
        ticks = sum(extent.length for extent in extents)
        longest = recipe.longest or max(recipe.chunk, -(-ticks // recipe.width))
        return group(cut_pieces(extents, longest, recipe.burn_in, offset % longest), recipe.width)

    def _train(self, number: int) -> tuple[float, list[float]]:
        """Every batch of pieces once, in an order and cut at places of the epoch's own."""
        rng = np.random.default_rng((self._recipe.seed, number))
        self._model.train()
        batches = self._pieces(self._split.train, int(rng.integers(1 << 30)))
        total, count, norms = 0.0, 0.0, []
        for at in rng.permutation(len(batches)).tolist():
            for part, norm in self._train_batch(batches[at]):
                total, count = total + float(part.summed.detach()), count + float(part.terms)
                norms.append(norm)
        if not count:
            raise DataError("the training part is too short: no tick in it has its truth in it")
        return total / count, norms

    def _train_batch(self, pieces: list[Piece]) -> list[tuple[Total, float]]:
        """One step of the optimiser for each chunk with something to learn; its loss and gradient norm."""
        state, steps = self._model.state(len(pieces)), []
        for chunk in self._reader.read(pieces):
            head, state = self._forward(chunk, state, training=True)
            part = total_loss(self._model, self._loss, head, chunk)
            state = {name: rows.detach() for name, rows in state.items()}
            if part.terms:
                self._optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(part.summed / part.terms)
                norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip)
                self._optimizer.step()
                self._average.take()
                steps.append((part, float(norm)))
        return steps

    def _forward(
        self, chunk: Chunk, state: dict[str, torch.Tensor], training: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A chunk to standardised head outputs (T, B, K, O, Q) and the state after it."""
        spec, shape = self._model.spec, chunk.x.shape[:2]
        outputs, state = self._sequencer.run(chunk.x, state, training)
        outputs = functional.dropout(outputs, self._recipe.dropout, training)
        head = self._model.head(outputs).reshape(*shape, len(spec.horizons), len(spec.targets), -1)
        if chunk.relative is not None:
            head = head + self._model.from_lags(chunk.relative).reshape(head.shape)
        return head, state

    def loss_on(self, extents: Sequence[Extent]) -> float:
        """Mean loss over a part of the history, each piece warmed up by the ticks before it; NaN without truths."""
        total, count = self._summed_on(extents)
        return total / count if count else math.nan

    @torch.no_grad()
    def _summed_on(self, extents: Sequence[Extent]) -> tuple[float, float]:
        """The sum of the losses over a part of the history and the number of its terms."""
        self._model.eval()
        total = count = 0.0
        for pieces in self._pieces(extents):
            state = self._model.state(len(pieces))
            for chunk in self._reader.read(pieces):
                head, state = self._forward(chunk, state, training=False)
                part = total_loss(self._model, self._loss, head, chunk)
                total, count = total + float(part.summed), count + float(part.terms)
        return total, count

"""What a head's numbers mean: the quantity they are, and whether they are a point or quantiles of it.

The one place that asks what a model predicts and for its quantiles; the compiled twin is kernels/heads.py, which
takes its codes from here. A head of another kind (classes) is another class with the same methods. Knows neither
weights nor rows. Functions take tensors or arrays, of any shapes that broadcast.
Shapes: Q numbers of each horizon and target (1 for a point).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamrnn.nn.spec import LossName, ModelSpec, Predicts

Numbers = TypeVar("Numbers", Tensor, NDArray[np.float64])
Loss = Callable[[Tensor], Tensor]
"""Errors (.., Q), what is wanted less what was said, to losses of that shape."""


class Quantity:
    """What a head's number is beside the target's last value, its base. is_change: 0 says what persistence says;
    is_log: it is a logarithm; code: its name in the compiled step."""

    code: ClassVar[int]
    is_change: ClassVar[bool] = True
    is_log: ClassVar[bool] = False

    @staticmethod
    def target(truth: Numbers, base: Numbers) -> Numbers:
        """The number that makes the prediction `truth`; NaN where there is none."""
        raise NotImplementedError

    @staticmethod
    def decode(number: Tensor, base: Tensor) -> Tensor:
        """The prediction that a number makes."""
        raise NotImplementedError

    @classmethod
    def within(cls, truth: Numbers, base: Numbers, mean: Numbers, most: Numbers) -> Any:
        """Whether the number wanted is at most `most` off its mean; False where there is none."""
        return abs(cls.target(truth, base) - mean) <= most


class Change(Quantity):
    """The difference from the last value."""

    code = 0

    @staticmethod
    def target(truth: Numbers, base: Numbers) -> Numbers:
        """The difference."""
        return truth - base

    @staticmethod
    def decode(number: Tensor, base: Tensor) -> Tensor:
        """The last value and the difference."""
        return base + number


class Level(Quantity):
    """The value itself."""

    code = 1
    is_change = False

    @staticmethod
    def target(truth: Numbers, base: Numbers) -> Numbers:
        """The truth."""
        return truth

    @staticmethod
    def decode(number: Tensor, base: Tensor) -> Tensor:
        """The number."""
        return number

    @classmethod
    def within(cls, truth: Numbers, base: Numbers, mean: Numbers, most: Numbers) -> Any:
        """Whether neither the truth nor the base is farther off: both are levels."""
        return super().within(truth, base, mean, most) & (abs(base - mean) <= most)


class LogChange(Quantity):
    """The logarithm of the ratio to the last value; there is none where one of them is not above 0."""

    code = 2
    is_log = True

    @staticmethod
    def target(truth: Numbers, base: Numbers) -> Numbers:
        """The logarithm of the ratio."""
        to = _library(truth)
        with np.errstate(divide="ignore", invalid="ignore"):
            wanted: Numbers = to.where((truth > 0) & (base > 0), to.log(truth / base), to.nan)
        return wanted

    @staticmethod
    def decode(number: Tensor, base: Tensor) -> Tensor:
        """The last value times the ratio."""
        return base * torch.exp(number)


QUANTITIES: dict[Predicts, type[Quantity]] = {"change": Change, "level": Level, "log_change": LogChange}


def _library(numbers: Tensor | NDArray[np.float64]) -> Any:
    """torch or numpy: what is taken from them here has the same names in both."""
    return torch if isinstance(numbers, Tensor) else np


def _huber(error: Tensor) -> Tensor:
    return torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")


POINT_LOSSES: dict[LossName, Loss] = {"mse": torch.square, "mae": torch.abs, "huber": _huber}


@dataclass(frozen=True, slots=True)
class NumberHead:
    """The meaning of a model's outputs; quantiles are ascending levels, none for a point."""

    quantity: type[Quantity]
    quantiles: tuple[float, ...]

    @property
    def lag_quantity(self) -> type[Quantity]:
        """What the skip sees of earlier values beside the newest: never levels, which drift."""
        return self.quantity if self.quantity.is_change else Change

    @property
    def usual_loss(self) -> LossName:
        """What is made small unless something else is asked for."""
        return "pinball" if self.quantiles else "huber"

    @property
    def can_shrink(self) -> bool:
        """Whether a factor below 1 moves what is said towards persistence."""
        return self.quantity.is_change and not self.quantiles

    def decode(self, numbers: Tensor, base: Tensor) -> Tensor:
        """(.., Q) raw numbers to predictions; quantiles are sorted (Chernozhukov et al. 2010)."""
        said = self.quantity.decode(numbers, base)
        return said.sort(dim=-1).values if self.quantiles else said

    def loss(self, name: LossName) -> Loss:
        """The loss by name; ValueError for one that does not go with this head."""
        if (name == "pinball") != bool(self.quantiles):
            raise ValueError(f"a model with quantiles {list(self.quantiles)} does not go with the loss {name}")
        return self._pinball if name == "pinball" else POINT_LOSSES[name]

    def _pinball(self, error: Tensor) -> Tensor:
        levels = torch.tensor(self.quantiles).to(error)
        return torch.maximum(levels * error, (levels - 1) * error)


def head_of(spec: ModelSpec) -> NumberHead:
    """The head of a spec."""
    return NumberHead(QUANTITIES[spec.predicts], spec.quantiles)

"""A running mean of weights, kept beside them. Knows no optimiser."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter


class Average:
    """A running mean of parameters, young ones counting more at first; `keep` 0 has none."""

    def __init__(self, parameters: list[Parameter], keep: float) -> None:
        self._parameters, self._keep = parameters, keep
        self.means = [parameter.detach().clone() for parameter in parameters]
        self.steps = 0

    @torch.no_grad()
    def take(self) -> None:
        """Another step was made."""
        self.steps += 1
        keep = min(self._keep, (1 + self.steps) / (10 + self.steps))
        for mean, parameter in zip(self.means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - keep)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The parameters are their means for the length of a `with`."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def go_on(self, means: Sequence[Tensor], steps: int) -> None:
        """Be where another was, that had these means after so many steps."""
        for mean, other in zip(self.means, means, strict=True):
            mean.copy_(other)
        self.steps = steps

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in zip(self.means, self._parameters, strict=True):
            mean[...], parameter[...] = parameter.clone(), mean.clone()

"""The optimiser of a fit: which weights decay, how fast it learns, and what it remembers by the weights' names."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from streamrnn.nn.model import Model
from streamrnn.train.recipe import Recipe


def make_optimizer(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    """Adam whose decay, of matrices alone, is apart from the gradient (Loshchilov & Hutter 2019)."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, number: int) -> float:
    """Epoch `number`'s: a linear warm-up, then half a cosine to a twentieth (Loshchilov & Hutter 2017)."""
    warm = min(1.0, number / (recipe.warm_up + 1))
    along = max(0, number - recipe.warm_up - 1) / max(1, recipe.epochs - recipe.warm_up - 1)
    rate = recipe.learning_rate * warm * (0.05 + 0.95 * (1 + math.cos(math.pi * along)) / 2)
    for part in optimizer.param_groups:
        part["lr"] = rate
    return rate


def remembered(optimizer: torch.optim.Optimizer, model: Model) -> dict[str, Tensor]:
    """Moments and steps by `<what>/<weight>`; none before the first step."""
    return {
        f"{what}/{name}": tensor
        for name, parameter in model.named_parameters()
        for what, tensor in optimizer.state.get(parameter, {}).items()
    }


def remember(optimizer: torch.optim.Optimizer, model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Have these, which were `remembered` by another of the same model."""
    for name, parameter in model.named_parameters():
        own = {key.partition("/")[0]: tensor for key, tensor in tensors.items() if key.endswith(f"/{name}")}
        if own:
            # a step is a number, and stays on the CPU; moments lie where their weight is
            optimizer.state[parameter] = {
                what: tensor.clone().to(parameter.device) if tensor.dim() else tensor.clone()
                for what, tensor in own.items()
            }

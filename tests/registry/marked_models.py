"""Models that can be told apart after they were published."""

import torch

from streamrnn.nn.model import Model
from streamrnn.nn.spec import Channel, ModelSpec


def make_model(mark: float = 0.0, name: str = "oil") -> Model:
    """A model that can be told by the bias of its head."""
    spec = ModelSpec(name=name, features=("a",), targets=("a",), channels=(Channel("a"),), hidden=2)
    model = Model(spec)
    torch.nn.init.constant_(model.head.bias, mark)
    return model


def mark(model: Model) -> float:
    return model.head.bias.item()

"""Softmax regression and fully connected nets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from benchmark.problem.models.spec import Inputs, ModelSpec, columns

Activation = Literal["tanh", "relu", "gelu"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class SoftmaxSpec(ModelSpec):
    """Softmax regression: one linear layer with a bias."""

    title: ClassVar[str] = "softmax"

    kind: Literal["softmax"] = "softmax"

    @property
    def linear(self) -> bool:
        return True

    @property
    def widths(self) -> tuple[int, ...]:
        return ()

    @property
    def smooth(self) -> bool:
        return True

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        return nn.Linear(columns(inputs), classes)


class MLPSpec(ModelSpec):
    """Fully connected net; the paper's MNIST model is 784-32-32-10.

    tanh is the default because a ReLU net has no Lipschitz Hessian (Zhang et al. assume one).
    """

    title: ClassVar[str] = "MLP"

    kind: Literal["mlp"]
    hidden: tuple[int, ...] = Field((32, 32), min_length=1)
    activation: Activation = "tanh"

    @property
    def widths(self) -> tuple[int, ...] | None:
        """See `ModelSpec`; autograd has the passes with an activation that none are written for."""
        return None if self.activation == "gelu" else self.hidden

    @property
    def smooth(self) -> bool:
        return self.activation != "relu"

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        inputs, layers = columns(inputs), list[nn.Module]()
        for width in self.hidden:
            layers += [nn.Linear(inputs, width), ACTIVATIONS[self.activation]()]
            inputs = width
        return nn.Sequential(*layers, nn.Linear(inputs, classes))

"""Softmax regression, fully connected nets, and such nets linearised at public weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from torch import nn

from benchmark.problem.models.spec import Inputs, ModelSpec, columns

# Softmax regression and fully connected nets.

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
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field((32, 32), min_length=1)
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


# Fully connected nets linearised at public weights.


class TangentSpec(ModelSpec):
    """A fully connected net to first order around weights that public rows alone have trained.

    What is trained and certified is the distance v from these weights. The logits of a row are
    c (f + J v), with J its Jacobian at the public weights and c = min(1, clip / ||J||): linear in
    v, and no row is longer than `clip` (docs/tangents.md).

    Attributes:
        clip: declared; no row's Jacobian counts for more than this norm. There is no default.
        layers: how many of the last ones are trained; all if None.
        epochs, batch, learning_rate: of the public net, by Adam with half a cosine.
        augment: `affine` turns, shears, scales and shifts every image of the public net's batches.
    """

    title: ClassVar[str] = "tangent MLP"

    kind: Literal["tangent"]
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field((32, 32), min_length=1)
    activation: Activation = "gelu"
    clip: float | None = Field(None, gt=0, allow_inf_nan=False)
    layers: int | None = Field(None, ge=1, exclude_if=lambda value: value is None)
    epochs: int = Field(500, ge=1)
    batch: int = Field(50, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    augment: Literal["affine"] | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _declared(self) -> TangentSpec:
        if self.clip is None:
            raise ValueError(
                "a tangent model declares clip, the norm that no row's Jacobian exceeds: "
                "set model.clip, e.g. to 40"
            )
        if self.layers is not None and self.layers > len(self.hidden) + 1:
            raise ValueError(
                f"the net has {len(self.hidden) + 1} layers: set model.layers to that at most, "
                "or leave it out for all"
            )
        return self

    @property
    def linear(self) -> bool:
        return True

    @property
    def smooth(self) -> bool:
        return True

    @property
    def net(self) -> MLPSpec:
        """The net that is linearised."""
        return MLPSpec(kind="mlp", hidden=self.hidden, activation=self.activation)

    def moving(self, inputs: Inputs, classes: int) -> tuple[int, ...]:
        """Inputs and units of each layer that moves."""
        sizes = (columns(inputs), *self.hidden, classes)
        return sizes if self.layers is None else sizes[-self.layers - 1 :]

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        """The layers that move: their weights are laid out like v."""
        sizes = self.moving(inputs, classes)
        return nn.Sequential(*(nn.Linear(before, after) for before, after in pairwise(sizes)))

"""What the convolutional nets share."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.problem.models.batch_norm import BatchNorm
from benchmark.problem.models.spec import Built, ModelSpec, Shape
from benchmark.problem.models.start import kaiming

GROUPS = 8

ACTIVATIONS = {
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


class ConvolutionalSpec(ModelSpec):
    """A convolutional net on images of any size, given as flat rows.

    Smooth by default, and each image on its own: SiLU has bounded derivatives of every order, and
    GroupNorm (Wu & He 2018) looks at one image alone. BatchNorm and ReLU are the published
    variants: a certificate by bounds or noise is refused with the one, and flagged with the other.

    Attributes:
        width: channels of the first layer.
        norm: after each convolution; with one, convolutions have no bias.
        activation: after that.
        chunk: rows of a pass over all data that are taken at a time, to bound its memory.
    """

    chunk: ClassVar[int] = 250

    width: int = Field(ge=1)
    norm: Literal["group", "none", "batch"] = "group"
    activation: Literal["silu", "gelu", "softplus", "tanh", "relu"] = "silu"

    @property
    def sees_images(self) -> bool:
        return True

    @property
    def convolves(self) -> bool:
        return True

    @property
    def smooth(self) -> bool:
        return self.activation != "relu"

    def start(self, model: Built, generator: torch.Generator) -> Tensor:
        """See `ModelSpec`: as He et al. draw it."""
        return kaiming(model.shapes, generator)

    def normalisation(self, channels: int) -> nn.Module:
        """The layer after a convolution with so many channels."""
        if self.norm == "group":
            return nn.GroupNorm(math.gcd(GROUPS, channels), channels)
        return BatchNorm(channels) if self.norm == "batch" else nn.Identity()

    def nonlinearity(self) -> nn.Module:
        """The activation."""
        return ACTIVATIONS[self.activation]()

    def convolution(self, inputs: int, channels: int, kernel: int, stride: int) -> list[nn.Module]:
        """A padded convolution, normalised and activated."""
        bias = self.norm == "none"
        return [
            nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, bias=bias),
            self.normalisation(channels),
            self.nonlinearity(),
        ]


class Images(nn.Module):
    """Flat rows (n, height * width * channels) as images (n, channels, height, width).

    A view: its memory is in channels-last order, which convolutions are fastest in.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.shape).movedim(-1, 1)

"""Convolutional nets: AllCNN, ResNet-18 and what they share."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.problem.models.batch_norm import BatchNorm
from benchmark.problem.models.spec import Built, Inputs, ModelSpec, Shape, image, kaiming

# What the convolutional nets share.

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


# channels as a multiple of the net's width, kernel, stride
_LAYERS = (
    (1, 3, 1),
    (1, 3, 1),
    (1, 3, 2),
    (2, 3, 1),
    (2, 3, 1),
    (2, 3, 2),
    (2, 3, 1),
    (2, 1, 1),
)


class AllCNNSpec(ConvolutionalSpec):
    """All-CNN-C of Springenberg et al. 2015 (arXiv:1412.6806), without dropout.

    Every convolution is padded, and the logits are the mean of the last one's maps.
    """

    title: ClassVar[str] = "AllCNN"

    kind: Literal["allcnn"]
    width: int = Field(96, ge=1)

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        shape = image(inputs)
        layers: list[nn.Module] = [Images(shape)]
        channels = shape[-1]
        for multiple, kernel, stride in _LAYERS:
            layers += self.convolution(channels, multiple * self.width, kernel, stride)
            channels = multiple * self.width
        return nn.Sequential(
            *layers, nn.Conv2d(channels, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )


class ResNet18Spec(ConvolutionalSpec):
    """ResNet-18 of He et al. 2016 out of torchvision's blocks, for images of 32 x 32.

    The first layer is a 3 x 3 convolution with stride 1, and no pooling follows it.
    """

    title: ClassVar[str] = "ResNet-18"

    kind: Literal["resnet18"]
    width: int = Field(64, ge=1)

    def module(self, inputs: Inputs, classes: int) -> nn.Module:
        shape = image(inputs)
        layers: list[nn.Module] = [Images(shape), *self.convolution(shape[-1], self.width, 3, 1)]
        channels = self.width
        for stage in range(4):
            planes = self.width * 2**stage
            layers += [self._block(channels, planes), self._block(planes, planes)]
            channels = planes
        head = nn.Linear(channels, classes)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    def _block(self, channels: int, planes: int) -> nn.Module:
        """A residual block; one that widens halves the image as well."""
        from torchvision.models.resnet import BasicBlock, conv1x1  # slow to import

        stride, shortcut = 1, None
        if planes > channels:
            stride = 2
            shortcut = nn.Sequential(conv1x1(channels, planes, stride), self.normalisation(planes))
        block = BasicBlock(channels, planes, stride, shortcut, norm_layer=self.normalisation)
        block.relu = self.nonlinearity()
        return block

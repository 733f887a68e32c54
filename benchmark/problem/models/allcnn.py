"""The all-convolutional net."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from benchmark.problem.models.convolutional import ConvolutionalSpec, Images
from benchmark.problem.models.spec import Inputs, image

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

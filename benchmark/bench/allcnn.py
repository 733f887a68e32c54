"""The all-convolutional net, narrowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

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


@dataclass(frozen=True)
class AllCNNSpec:
    """All-CNN-C of Springenberg et al. 2015 (arXiv:1412.6806), without dropout and BatchNorm.

    A specification for `benchmark.problem.model.Model`, whose inputs are then channels.

    Attributes:
        width: channels of the first layer; the published net has 96.
    """

    width: int = 24
    kind: Literal["allcnn"] = "allcnn"
    linear: bool = False
    smooth: bool = False

    def module(self, inputs: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        for multiple, kernel, stride in _LAYERS:
            channels = multiple * self.width
            layers += [nn.Conv2d(inputs, channels, kernel, stride, kernel // 2), nn.ReLU()]
            inputs = channels
        layers += [nn.Conv2d(inputs, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers)

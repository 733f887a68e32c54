"""ResNet-18 for small images."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from benchmark.problem.models.convolutional import ConvolutionalSpec, Images
from benchmark.problem.models.spec import Inputs, image


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

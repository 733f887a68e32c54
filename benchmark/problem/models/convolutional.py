"""Convolutional nets, and BatchNorm whose statistics are weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.problem.models.spec import Built, Inputs, ModelSpec, Shape, image, kaiming

# BatchNorm whose statistics are weights.


#: Added to a variance, as torch's own layer does.
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """BatchNorm on images (Ioffe & Szegedy 2015) that keeps no statistics outside its weights.

    Mean and variance of each channel are parameters like scale and shift: they are released with
    them, and noise on the weights is noise on them. Nothing is differentiated with respect to
    them. Called without them (None, as in `torch.nn.functional.batch_norm`) the layer normalises
    by the statistics of the batch, as training does.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.variance = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is None or self.variance is None:
            # not by torch.nn.functional, which refuses a batch with one value a channel: its
            # variance is 0, and what comes out is the shift
            cudnn = torch.backends.cudnn.enabled
            return torch.batch_norm(
                x, self.weight, self.bias, None, None, True, 0.0, EPSILON, cudnn
            )
        variance = self.variance.detach().clamp(min=0)  # noise may have taken it below 0
        scale = self.weight * (variance + EPSILON).rsqrt()
        centred = x - self.mean.detach().view(-1, 1, 1)
        return centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


def names(module: nn.Module) -> list[str]:
    """Names of the parameters of `module` that are statistics, in their order."""
    return [
        f"{layer}.{statistic}"
        for layer, found in module.named_modules()
        if isinstance(found, BatchNorm)
        for statistic in ("mean", "variance")
    ]


@torch.no_grad()
def population(
    module: nn.Module, run: Callable[[Tensor], object], batches: Sequence[Tensor]
) -> dict[str, Tensor]:
    """What every BatchNorm of `module` sees over all batches: (channels,) by parameter name.

    The mean over rows, and the variance around it, of inputs that are normalised batch by batch
    up to there (PreciseBN; Wu & Johnson 2021, arXiv:2105.07576). Summed up in float64.

    Args:
        module: with the layers.
        run: calls `module` on one batch, without statistics.
        batches: inputs (n, ...) each; all rows together.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def look(layer: str, module: nn.Module, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].double(), dim=(0, 2, 3), correction=0)
        seen.setdefault(layer, []).append((mean, variance))

    with ExitStack() as hooks:
        for layer, found in module.named_modules():
            if isinstance(found, BatchNorm):
                hooks.enter_context(found.register_forward_pre_hook(partial(look, layer)))
        for x in batches:
            run(x)
    sizes = [len(x) for x in batches]
    found = {}
    for layer, moments in seen.items():
        found[f"{layer}.mean"], found[f"{layer}.variance"] = _pooled(moments, sizes)
    return found


def _pooled(moments: list[tuple[Tensor, Tensor]], sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and variance (channels,) of all rows, from those of parts of these sizes."""
    means, variances = (torch.stack(each) for each in zip(*moments, strict=True))
    shares = means.new_tensor(sizes) / sum(sizes)
    mean = shares @ means
    return mean, shares @ (variances + (means - mean).square())


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

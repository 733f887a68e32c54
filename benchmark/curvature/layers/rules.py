"""Which layers a module is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from benchmark.curvature.layers.activation import DERIVATIVES, Activation
from benchmark.curvature.layers.chain import Chain, Residual
from benchmark.curvature.layers.convolution import Convolution
from benchmark.curvature.layers.data import Data
from benchmark.curvature.layers.flatten import Flatten
from benchmark.curvature.layers.group_norm import GroupNorm
from benchmark.curvature.layers.layer import Layer, Weights
from benchmark.curvature.layers.linear import Linear
from benchmark.curvature.layers.pooling import Mean
from benchmark.curvature.layers.scratch import Scratch

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock


class NoRule(Exception):
    """A module of a kind that no layer here is written for."""


def chain(net: nn.Module, weights: Weights, scratch: Scratch | None = None) -> Chain:
    """The layers of a net, in the order in which they run, on some rows yet to be given.

    Args:
        net: a sequence; what stands before its first weights is applied to the data as it is, and
            the first weights are a convolution's.
        weights: of each module in it.
        scratch: that chains which are not at work at the same time may share; one of its own by
            default.

    Raises:
        NoRule: if the net has a part that there is no layer for.
    """
    if not isinstance(net, nn.Sequential):
        raise NoRule(type(net).__name__)
    layers: list[Layer] = []
    scratch, below = scratch or Scratch(), False
    for part in net:
        if below:
            layers += _layers(part, weights, scratch)
        elif not list(part.parameters()):
            layers.append(Data(part))
        elif isinstance(part, nn.Conv2d):
            layers += _layers(part, weights, scratch, first=True)
            below = True
        else:
            raise NoRule(type(part).__name__)
    return Chain(layers)


def has_rules(net: nn.Module) -> bool:
    """Whether `chain` knows every part of the net."""
    try:
        chain(net, {part: list(part.parameters(recurse=False)) for part in net.modules()})
    except NoRule:
        return False
    return True


def _layers(
    module: nn.Module, weights: Weights, scratch: Scratch, *, first: bool = False
) -> list[Layer]:
    match module:
        case nn.Sequential():
            return [layer for part in module for layer in _layers(part, weights, scratch)]
        case nn.Identity():
            return []
        case nn.Conv2d(padding_mode="zeros", padding=(_, _), groups=1):
            return [Convolution(module, weights, first=first)]
        case nn.Linear(bias=nn.Parameter()):
            return [Linear(module, weights)]
        case nn.GroupNorm(affine=True):
            return [GroupNorm(module, weights, scratch)]
        case nn.SiLU() | nn.ReLU() | nn.Tanh():
            return [Activation(DERIVATIVES[type(module)])]
        case nn.GELU(approximate="none") | nn.Softplus(beta=1, threshold=20):
            return [Activation(DERIVATIVES[type(module)])]
        case nn.AdaptiveAvgPool2d(output_size=1):
            return [Mean()]
        case nn.Flatten(start_dim=1, end_dim=-1):
            return [Flatten()]
    return _residual(_basic_block(module), weights, scratch)


def _basic_block(module: nn.Module) -> BasicBlock:
    """`module`, which no other rule is for, if it is torchvision's residual block."""
    from torchvision.models.resnet import BasicBlock  # slow to import, and few nets have one

    if isinstance(module, BasicBlock):
        return module
    raise NoRule(type(module).__name__)


def _residual(block: BasicBlock, weights: Weights, scratch: Scratch) -> list[Layer]:
    """Two convolutions beside a shortcut; the activation runs inside and after the sum."""
    inside = (block.conv1, block.bn1, block.relu, block.conv2, block.bn2)
    branch = [layer for part in inside for layer in _layers(part, weights, scratch)]
    shortcut = _layers(block.downsample or nn.Identity(), weights, scratch)
    return [Residual(Chain(branch), Chain(shortcut)), *_layers(block.relu, weights, scratch)]

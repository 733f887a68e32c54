"""The Hessian of a convolutional net, by an R-operator over the layers that it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmark.curvature.hessian import slices
from benchmark.curvature.layers import (
    DERIVATIVES,
    Activation,
    Convolution,
    Data,
    Flatten,
    GroupNorm,
    Layer,
    Linear,
    Mean,
    Scratch,
    Signal,
    Weights,
    nbytes,
    split,
)
from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error, loss_sizes

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock

# Layers one after the other, and two chains side by side.


class Chain:
    """Each layer's output is the next one's input; an empty chain is the identity."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def forward(self, x: Tensor) -> Tensor:
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, delta: Signal) -> Signal:
        for layer in reversed(self._layers):
            delta = layer.backward(delta)
        return delta

    def add_gradient(self, total: Weights) -> None:
        for layer in self._layers:
            layer.add_gradient(total)

    def push(self, rx: Signal, v: Weights) -> tuple[Signal, list[Any]]:
        pushed = []
        for layer in self._layers:
            rx, one = layer.push(rx, v)
            pushed.append(one)
        return rx, pushed

    def pull(self, r_delta: Signal, pushed: list[Any], v: Weights, total: Weights) -> Signal:
        for layer in reversed(self._layers):
            # taken off the list, so that its memory serves the layers below
            r_delta = layer.pull(r_delta, pushed.pop(), v, total)
        return r_delta


class Residual:
    """branch(x) + shortcut(x), the sum that a residual block activates (He et al. 2016)."""

    def __init__(self, branch: Chain, shortcut: Chain) -> None:
        self._branch, self._shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self._branch.forward(x) + self._shortcut.forward(x)

    def backward(self, delta: Tensor) -> Tensor:
        return self._branch.backward(delta) + self._shortcut.backward(delta)

    def add_gradient(self, total: Weights) -> None:
        self._branch.add_gradient(total)
        self._shortcut.add_gradient(total)

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, tuple[list[Any], list[Any]]]:
        shortcut, of_shortcut = self._shortcut.push(rx.clone(), v)
        branch, of_branch = self._branch.push(rx, v)
        return branch + shortcut, (of_branch, of_shortcut)

    def pull(
        self, r_delta: Tensor, pushed: tuple[list[Any], list[Any]], v: Weights, total: Weights
    ) -> Tensor:
        of_branch, of_shortcut = pushed
        branch = self._branch.pull(r_delta.clone(), of_branch, v, total)
        return branch + self._shortcut.pull(r_delta, of_shortcut, v, total)


# Which layers a module is made of.


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


# The Hessian of a convolutional net, by an R-operator layer by layer.

#: Rows a chunk on a CPU, measured on images of 32 x 32: fewer pay for more calls of every layer,
#: more leave the cache between one layer and the next; flat around it.
CPU_CHUNK = 50
#: Bytes of passes that a CPU keeps unless it is told how many rows'.
CPU_KEPT = 4 << 30


class _Pass:
    """One forward and backward pass over some rows, and what it leaves for the products.

    Attributes:
        layers: the net on these rows.
        p: (rows, classes), for `loss_curvature`.
        shares: (rows, 1), what the rows count; None where they all count the same.
    """

    def __init__(
        self, layers: Chain, x: Tensor, y: Tensor, loss: Loss, shares: Tensor | None
    ) -> None:
        self.layers, self.shares = layers, shares
        error, self.p = loss_error(loss, layers.forward(x), y, dim=1)
        layers.backward(self.weighed(error))

    def weighed(self, errors: Tensor) -> Tensor:
        """Errors (rows, classes) times what each row counts."""
        return errors if self.shares is None else errors * self.shares


class ConvolutionalHessian:
    """v -> hess L(w) v for a convolutional net and a mean loss plus (ridge / 2) ||w||^2.

    Pearlmutter's R-operator (1994), with what does not depend on v computed once and kept. Equal
    to reverse-over-reverse to round-off (tested), which spends most of its time on the second
    derivatives of normalisations and activations, element by element. `weights` is copied, so
    that a later change cannot go unnoticed; `x` is not and must not change.

    Args:
        net: for which `has_rules` says yes; its own weights are never read.
        x: (n, inputs), whatever `net` takes.
        y: (n,) labels.
        weights: (d,), in the order of the net's parameters.
        loss: of the objective.
        ridge: of the objective.
        shares: (n,) of each row in L, in place of 1 / n.
        chunk: rows multiplied at a time; one that suits the device by default.
        kept_rows: rows whose passes are kept in memory, about 6 numbers a unit and row; those of
            the others are computed anew in every product, which makes it about half as long
            again. All by default, and on a CPU what fits into 4 GiB.
    """

    def __init__(
        self,
        net: nn.Module,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        loss: Loss,
        ridge: float,
        shares: Tensor | None = None,
        chunk: int | None = None,
        kept_rows: int | None = None,
    ) -> None:
        self._net, self._x, self._y, self._loss, self._ridge = net, x, y, loss, ridge
        self._shares, self._scale = shares, 1 / len(x) if shares is None else 1.0
        self._weights = weights.detach().clone()
        self._layers, self._scratch = split(net, self._weights), Scratch()
        cpu = x.device.type == "cpu"
        self._slices = list(slices(len(x), chunk or (CPU_CHUNK if cpu else len(x))))
        self._kept: list[_Pass] = []
        for rows in self._slices:
            if kept_rows is not None and rows.stop > kept_rows:
                break
            self._kept.append(self._pass(rows))
            if kept_rows is None and cpu:
                kept_rows = CPU_KEPT * rows.stop // nbytes(self._kept)

    @cached_property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,); computed when it is first asked for, from what is kept."""
        total = torch.zeros_like(self._weights)
        parts = split(self._net, total)
        for _, one in self._passes():
            one.layers.add_gradient(parts)
        return total.mul_(self._scale).add_(self._weights, alpha=self._ridge)

    @cached_property
    def importance(self) -> Tensor:
        """How much each row has to do with H, (n,)."""
        sizes = [
            loss_sizes(self._loss, one.p, self._y[rows], dim=1) for rows, one in self._passes()
        ]
        return torch.cat(sizes)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian of L at w times `vector`, (d,)."""
        v, total = split(self._net, vector.detach()), torch.zeros_like(vector)
        parts = split(self._net, total)
        for _, one in self._passes():
            change, pushed = one.layers.push(None, v)
            errors = one.weighed(loss_curvature(self._loss, one.p, change, dim=-1))
            one.layers.pull(errors, pushed, v, parts)
        return total.mul_(self._scale).add_(vector, alpha=self._ridge)

    def _passes(self) -> Iterator[tuple[slice, _Pass]]:
        """Every chunk of rows, in order; those not kept are computed anew."""
        for i, rows in enumerate(self._slices):
            yield rows, self._kept[i] if i < len(self._kept) else self._pass(rows)

    def _pass(self, rows: slice) -> _Pass:
        layers = chain(self._net, self._layers, self._scratch)
        shares = None if self._shares is None else self._shares[rows].unsqueeze(1)
        return _Pass(layers, self._x[rows], self._y[rows], self._loss, shares)

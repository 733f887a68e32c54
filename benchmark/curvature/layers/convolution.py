"""A convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.curvature.layers.layer import Weights


class Convolution:
    """y = W * x + b, so R y = W * R x + V * x + c, and so on backwards by the product rule.

    The two convolutions of a sum are one with twice the channels: fewer images are written, and
    what has few channels takes less time with more of them (measured).

    Args:
        module: the convolution, padded with zeros and not grouped.
        weights: W and, unless the module has none, b.
        first: whether x is data, which does not change and whose delta nobody asks for.
    """

    def __init__(self, module: nn.Conv2d, weights: Weights, *, first: bool) -> None:
        self._module, self._first = module, first
        self._weight, self._bias = _pair(weights[module])

    def forward(self, x: Tensor) -> Tensor:
        self._x = x
        return self._apply(x, self._weight, self._bias)

    def backward(self, delta: Tensor) -> Tensor | None:
        self._delta = delta
        return None if self._first else self._back(delta, self._weight)

    def add_gradient(self, total: Weights) -> None:
        self._add_outer(self._delta, self._x, total)
        self._add_bias(self._delta, total)

    def push(self, rx: Tensor | None, v: Weights) -> tuple[Tensor, Tensor | None]:
        x, (weight, bias) = self._x, _pair(v[self._module])
        if rx is not None:
            x, weight = torch.cat([rx, x], dim=1), torch.cat([self._weight, weight], dim=1)
        return self._apply(x, weight, bias), rx

    def pull(self, r_delta: Tensor, rx: Tensor | None, v: Weights, total: Weights) -> Tensor | None:
        self._add_bias(r_delta, total)
        self._add_outer(r_delta, self._x, total)
        if rx is None:
            return None
        self._add_outer(self._delta, rx, total)
        weights = torch.cat([self._weight, _pair(v[self._module])[0]])
        return self._back(torch.cat([r_delta, self._delta], dim=1), weights)

    def _apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        m = self._module
        return F.conv2d(x, weight, bias, m.stride, m.padding, m.dilation)

    def _back(self, delta: Tensor, weight: Tensor) -> Tensor:
        """The transposed convolution, x's delta."""
        return self._derivative(delta, self._x, weight, 0)

    def _add_outer(self, delta: Tensor, x: Tensor, total: Weights) -> None:
        """Add W's derivative to `total`."""
        total[self._module][0].add_(self._derivative(delta, x, self._weight, 1))

    def _add_bias(self, delta: Tensor, total: Weights) -> None:
        if self._bias is not None:
            total[self._module][1].add_(delta.sum((0, 2, 3)))

    def _derivative(self, delta: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
        """In x (`which` 0) or in W (1); of the other, only the shape matters."""
        m = self._module
        mask = [which == 0, which == 1, False]
        return torch.ops.aten.convolution_backward(
            delta, x, weight, None, m.stride, m.padding, m.dilation, False, [0, 0], 1, mask
        )[which]


def _pair(weights: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Weight and bias; None where there is no bias."""
    return weights[0], weights[1] if len(weights) > 1 else None

"""A fully connected layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.curvature.layers.layer import Weights


class Linear:
    """y = x W^T + b for x (n, inputs), with a bias; its input is never data.

    Args:
        module: the layer.
        weights: W and b.
    """

    def __init__(self, module: nn.Linear, weights: Weights) -> None:
        self._module = module
        self._weight, self._bias = weights[module]

    def forward(self, x: Tensor) -> Tensor:
        self._x = x
        return torch.addmm(self._bias, x, self._weight.T)

    def backward(self, delta: Tensor) -> Tensor:
        self._delta = delta
        return delta @ self._weight

    def add_gradient(self, total: Weights) -> None:
        weight, bias = total[self._module]
        weight.addmm_(self._delta.T, self._x)
        bias.add_(self._delta.sum(0))

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, Tensor]:
        change, c = v[self._module]
        return torch.addmm(c, self._x, change.T).addmm_(rx, self._weight.T), rx

    def pull(self, r_delta: Tensor, rx: Tensor, v: Weights, total: Weights) -> Tensor:
        weight, bias = total[self._module]
        weight.addmm_(r_delta.T, self._x).addmm_(self._delta.T, rx)
        bias.add_(r_delta.sum(0))
        return (r_delta @ self._weight).addmm_(self._delta, v[self._module][0])

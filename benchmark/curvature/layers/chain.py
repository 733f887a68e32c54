"""Layers one after the other, and two chains side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from benchmark.curvature.layers.layer import Layer, Signal, Weights


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

"""An image as one row of numbers."""

from __future__ import annotations

from torch import Tensor

from benchmark.curvature.layers.layer import Weights


class Flatten:
    """(n, channels, height, width) to (n, channels * height * width)."""

    def forward(self, x: Tensor) -> Tensor:
        self._shape = x.shape
        return x.flatten(1)

    def backward(self, delta: Tensor) -> Tensor:
        return delta.reshape(self._shape)

    def add_gradient(self, total: Weights) -> None:
        pass

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, None]:
        return rx.flatten(1), None

    def pull(self, r_delta: Tensor, pushed: None, v: Weights, total: Weights) -> Tensor:
        return self.backward(r_delta)

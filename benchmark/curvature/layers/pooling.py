"""The mean over an image, which is linear and has no weights."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.layers.layer import Weights


class Mean:
    """(n, channels, height, width) to (n, channels, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        self._shape = x.shape
        return x.mean((2, 3), keepdim=True)

    def backward(self, delta: Tensor) -> Tensor:
        height, width = self._shape[2:]
        spread = (delta / (height * width)).expand(self._shape)
        return spread.contiguous(memory_format=torch.channels_last)

    def add_gradient(self, total: Weights) -> None:
        pass

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, None]:
        return rx.mean((2, 3), keepdim=True), None

    def pull(self, r_delta: Tensor, pushed: None, v: Weights, total: Weights) -> Tensor:
        return self.backward(r_delta)

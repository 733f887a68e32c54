"""What a net does to its data before the first weight."""

from __future__ import annotations

from torch import Tensor, nn

from benchmark.curvature.layers.layer import Weights


class Data:
    """A module without weights whose input and output are data: nothing is differentiated.

    Args:
        module: any function of the rows.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def forward(self, x: Tensor) -> Tensor:
        return self._module(x)

    def backward(self, delta: None) -> None:
        return None

    def add_gradient(self, total: Weights) -> None:
        pass

    def push(self, rx: None, v: Weights) -> tuple[None, None]:
        return None, None

    def pull(self, r_delta: None, pushed: None, v: Weights, total: Weights) -> None:
        return None

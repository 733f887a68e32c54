"""The Hessian as the derivative of the gradient, in forward mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property

from torch import Tensor
from torch.func import grad, jvp


class ForwardOverReverse:
    """v -> hess f(w) v as d/dt grad f(w + t v) at t = 0 (Pearlmutter 1994), by forward mode.

    Nothing is kept between products: each one computes the gradient again beside its derivative.
    `torch.func.linearize`, which would keep what does not depend on v, is not used: of a ResNet-18
    its second product and all later ones are wrong (torch 2.15).

    Args:
        function: scalar function of weights (d,), twice differentiable.
        weights: where to differentiate; copied, so that a later change cannot go unnoticed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], weights: Tensor) -> None:
        self._weights = weights.detach().clone()
        self._gradient_at = grad(function)

    @cached_property
    def gradient(self) -> Tensor:
        """Grad f(w), (d,); computed when it is first asked for."""
        return self._gradient_at(self._weights)

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Hess f(w) vector, (d,)."""
        with warnings.catch_warnings():
            # torch loads its forward-mode rules through its own deprecated torch.jit
            warnings.simplefilter("ignore", FutureWarning)
            return jvp(self._gradient_at, (self._weights,), (vector.detach(),))[1]

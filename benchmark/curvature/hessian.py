"""The Hessian as a linear operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Operator(Protocol):
    """Anything symmetric that multiplies a vector (d,)."""

    def __matmul__(self, vector: Tensor, /) -> Tensor: ...


class Differentiated(Protocol):
    """A Hessian that holds the gradient at the same weights as well."""

    @property
    def gradient(self) -> Tensor: ...

    def __matmul__(self, vector: Tensor, /) -> Tensor: ...


class Hessian:
    """v -> hess f(w) v by reverse-over-reverse with the gradient's graph kept.

    One product costs about one gradient, because the forward pass and the first backward pass
    are done once, here.

    Args:
        function: scalar function of weights (d,), twice differentiable.
        weights: where to differentiate; copied, so that a later change cannot go unnoticed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], weights: Tensor) -> None:
        self._weights = weights.detach().clone().requires_grad_()
        value = function(self._weights)
        (self._gradient,) = torch.autograd.grad(value, self._weights, create_graph=True)

    @property
    def gradient(self) -> Tensor:
        """Grad f(w), (d,)."""
        return self._gradient.detach()

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Hess f(w) vector, (d,)."""
        return torch.autograd.grad(self._gradient, self._weights, vector, retain_graph=True)[0]


@dataclass(frozen=True)
class Damped:
    """v -> (A + damping I) v."""

    operator: Operator
    damping: float

    def __matmul__(self, vector: Tensor) -> Tensor:
        return (self.operator @ vector).add_(vector, alpha=self.damping)

    def block(self, vectors: Tensor) -> Tensor:
        """The products (k, d) with k vectors (k, d)."""
        return multiply(self.operator, vectors).add(vectors, alpha=self.damping)


def multiply(operator: Operator, vectors: Tensor) -> Tensor:
    """The products (k, d) with k vectors (k, d); in one pass where the operator knows how."""
    block = getattr(operator, "block", None)
    if block is not None:
        return block(vectors)
    return torch.stack([operator @ vector for vector in vectors])

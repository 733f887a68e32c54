"""An activation, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.curvature.layers.layer import Weights

#: z to phi(z), phi'(z) and phi''(z); None where the last is zero.
Derivatives = Callable[[Tensor], tuple[Tensor, Tensor, Tensor | None]]


class Activation:
    """a = phi(z): delta_z = phi'(z) delta_a, so R delta_z = phi'(z) R delta_a + bend R z.

    The bend is phi''(z) delta_a.

    Args:
        phi: the activation with its two derivatives.
    """

    def __init__(self, phi: Derivatives) -> None:
        self._phi = phi

    def forward(self, z: Tensor) -> Tensor:
        a, self._slope, self._bend = self._phi(z)
        return a

    def backward(self, delta: Tensor) -> Tensor:
        if self._bend is not None:
            self._bend.mul_(delta)
        return self._slope * delta

    def add_gradient(self, total: Weights) -> None:
        pass

    def push(self, rz: Tensor, v: Weights) -> tuple[Tensor, Tensor]:
        return self._slope * rz, rz

    def pull(self, r_delta: Tensor, rz: Tensor, v: Weights, total: Weights) -> Tensor:
        change = r_delta.mul_(self._slope)
        return change if self._bend is None else change.addcmul_(self._bend, rz)


def _silu(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With s = sigmoid(z) and u = s (1 - s): z s, s + z u, u (2 + z - 2 a)."""
    s = z.sigmoid()
    a, u = z * s, torch.addcmul(s, s, s, value=-1)
    slope = s.addcmul_(z, u)
    return a, slope, u.mul_(z.sub(a, alpha=2).add_(2))


def _gelu(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With the normal distribution P and its density p: z P, P + z p, p (2 - z^2)."""
    square = z * z
    density = square.mul(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
    below = torch.special.ndtr(z)
    return z * below, below.addcmul(z, density), square.neg_().add_(2).mul_(density)


def _softplus(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Linear above 20, as torch has it."""
    s = z.sigmoid().masked_fill_(z > 20, 1)
    return F.softplus(z), s, torch.addcmul(s, s, s, value=-1)


def _tanh(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a = z.tanh()
    slope = 1 - a * a
    return a, slope, (a * slope).mul_(-2)


def _relu(z: Tensor) -> tuple[Tensor, Tensor, None]:
    """At 0 the derivative is 0, as in autograd."""
    return z.clamp(min=0), (z > 0).to(z.dtype), None


DERIVATIVES: dict[type[nn.Module], Derivatives] = {
    nn.SiLU: _silu,
    nn.GELU: _gelu,
    nn.Softplus: _softplus,
    nn.Tanh: _tanh,
    nn.ReLU: _relu,
}

"""The R-operator layer by layer: what each kind of layer adds to a pass and to a product."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Scratch:
    """Room for what is read at once and then forgotten: new memory costs more than writing to it.

    On a CPU the system clears every page of a large new tensor, which takes longer than the sum
    or product that it is for.
    """

    def __init__(self) -> None:
        self._rooms: dict[object, Tensor] = {}

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two tensors of one layout, good until the next one is asked for."""
        key = (a.shape, a.stride(), a.dtype)
        if key not in self._rooms:
            self._rooms[key] = torch.empty_like(a)
        return torch.mul(a, b, out=self._rooms[key])


# What a layer has to say for itself.

#: The weights of each module, or a direction or gradient in them: views of one flat vector.
Weights = dict[nn.Module, list[Tensor]]


#: A Tensor; None at the data, of which there is no derivative.
Signal = Any


class Layer(Protocol):
    """One layer on some rows: `forward` and `backward` once, then any number of products.

    What does not depend on the product's vector v is computed in the two passes and kept. A
    product is a `push` through the layers in order and a `pull` back through them. R is d/dt at
    the weights w + t v, delta the derivative of the loss summed over the rows.
    """

    def forward(self, x: Tensor, /) -> Tensor:
        """The output for the input x."""
        ...

    def backward(self, delta: Signal, /) -> Signal:
        """Delta of the input, for delta of the output; None if the input is data."""
        ...

    def add_gradient(self, total: Weights, /) -> None:
        """Add the derivative in the layer's own weights to `total`."""
        ...

    def push(self, rx: Signal, v: Weights, /) -> tuple[Signal, Any]:
        """R of the output, for R of the input (None: data), and what `pull` has to know of it.

        The memory of `rx` may be taken over; who hands it on to two layers copies it.
        """
        ...

    def pull(self, r_delta: Signal, pushed: Any, v: Weights, total: Weights, /) -> Signal:
        """R of the input's delta, for R of the output's; R of the own gradient goes to `total`.

        The memory of `r_delta` and of what was pushed may be taken over, likewise.
        """
        ...


def split(module: nn.Module, flat: Tensor) -> Weights:
    """Views of `flat` (d,): the parameters of each module, in the order of `named_parameters`.

    Raises:
        ValueError: if the numbers of weights differ, as they do where modules share some.
    """
    weights: Weights = {}
    start = 0
    for part in module.modules():
        weights[part] = []
        for parameter in part.parameters(recurse=False):
            end = start + parameter.numel()
            weights[part].append(flat[start:end].view(parameter.shape))
            start = end
    if start != len(flat):
        raise ValueError(f"the module has {start} weights, not {len(flat)}")
    return weights


def nbytes(layers: object) -> int:
    """Bytes of all tensors that layers hold, weights too; what several of them hold counts once."""
    found, rest = {}, [layers]
    while rest:
        one = rest.pop()
        if isinstance(one, Tensor):
            found[one.data_ptr()] = one.nbytes
        elif isinstance(one, list):
            rest += one
        elif not isinstance(one, nn.Module):
            rest += getattr(one, "__dict__", {}).values()
    return sum(found.values())


# An activation, element by element.

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


# A convolution.


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


# Group normalisation.


class GroupNorm:
    """y = gamma h + beta with h = s (x - mean x) and s = (var x + eps)^(-1/2) in each group.

    Let <u> be the mean over a group and P(u) = s (u - <u> - h <h u>), which is h's derivative in
    x and, being symmetric, the backward pass as well: x's delta is P(g) with g = gamma delta.
    Hence R h = P(R x) and, because R s = -s^2 <h R x>,

        R P(g) = P(R g) - s (<h R x> P(g) + <h g> R h + <R h g> h).

    Means over a group are taken from sums over each channel, which the gradients of gamma and
    beta want as well. All is multiplied out by channel, in terms of what lies in memory: one step
    over the image for each of h, R x and the two deltas, and less time than the fused kernels
    take in channels-last memory (measured).

    Args:
        module: the normalisation, with gamma and beta.
        weights: gamma and beta, (channels,).
        scratch: for products that only their sums are wanted of.
    """

    def __init__(self, module: nn.GroupNorm, weights: Weights, scratch: Scratch) -> None:
        self._module, self._scratch = module, scratch
        self._gamma, self._beta = (part.view(-1, 1, 1) for part in weights[module])

    def forward(self, x: Tensor) -> Tensor:
        self._count = x[0, 0].numel() * x.shape[1] // self._module.num_groups
        h = x - self._mean(_sum(x))
        self._s = (self._mean(self._dot(h, h)) + self._module.eps).rsqrt()
        self._h = h.mul_(self._s)
        return torch.addcmul(self._beta, self._h, self._gamma)

    def backward(self, delta: Tensor) -> Tensor:
        self._delta = delta
        self._sum_delta, self._sum_hdelta = _sum(delta), self._dot(self._h, delta)
        self._mean_g = self._mean(self._gamma * self._sum_delta)
        self._mean_hg = self._mean(self._gamma * self._sum_hdelta)
        projected = torch.addcmul(-self._s * self._mean_g, delta, self._s * self._gamma)
        return projected.addcmul_(self._h, -self._s * self._mean_hg)

    def add_gradient(self, total: Weights) -> None:
        self._add(self._sum_hdelta, self._sum_delta, total)

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """R h is not written down: R y and, in `pull`, R P(g) take it from R x and h."""
        gamma, beta = (part.view(-1, 1, 1) for part in v[self._module])
        mean_rx, mean_hrx = self._mean(_sum(rx)), self._mean(self._dot(self._h, rx))
        along_rx = self._s * self._gamma
        ry = torch.addcmul(beta - along_rx * mean_rx, self._h, gamma - along_rx * mean_hrx)
        return ry.addcmul_(rx, along_rx), (rx, mean_rx, mean_hrx)

    def pull(
        self, r_delta: Tensor, pushed: tuple[Tensor, Tensor, Tensor], v: Weights, total: Weights
    ) -> Tensor:
        rx, mean_rx, mean_hrx = pushed
        gamma, s = v[self._module][0].view(-1, 1, 1), self._s
        sum_rdelta, sum_hrdelta = _sum(r_delta), self._dot(self._h, r_delta)
        sum_rhdelta = s * (
            self._dot(rx, self._delta) - mean_rx * self._sum_delta - mean_hrx * self._sum_hdelta
        )
        self._add(sum_hrdelta + sum_rhdelta, sum_rdelta, total)
        mean_rg = self._mean(self._gamma * sum_rdelta + gamma * self._sum_delta)
        # <h R g> + <R h g>
        along_h = self._mean(self._gamma * (sum_hrdelta + sum_rhdelta) + gamma * self._sum_hdelta)
        constant = s * (mean_hrx * self._mean_g + mean_rx * self._mean_hg) - mean_rg
        out = torch.addcmul(s * constant, r_delta, s * self._gamma, out=r_delta)
        out.addcmul_(self._delta, s * (gamma - s * mean_hrx * self._gamma))
        out.addcmul_(self._h, s * (2 * s * mean_hrx * self._mean_hg - along_h))
        return out.addcmul_(rx, -s * s * self._mean_hg)

    def _dot(self, u: Tensor, v: Tensor) -> Tensor:
        """The sum of u v over the image, (n, channels, 1, 1)."""
        return _sum(self._scratch.product(u, v))

    def _mean(self, sums: Tensor) -> Tensor:
        """<u> at every channel of its group, (n, channels, 1, 1), from sums over each channel."""
        groups = sums.unflatten(1, (self._module.num_groups, -1)).sum(2, keepdim=True)
        return groups.div_(self._count).expand(-1, -1, self._width, -1, -1).flatten(1, 2)

    @property
    def _width(self) -> int:
        """Channels a group."""
        return self._module.num_channels // self._module.num_groups

    def _add(self, gamma: Tensor, beta: Tensor, total: Weights) -> None:
        """Add sums over each row's channels to the derivatives in gamma and beta."""
        for part, sums in zip(total[self._module], (gamma, beta), strict=True):
            part.add_(sums.sum(0).flatten())


def _sum(u: Tensor) -> Tensor:
    """Over the image, (n, channels, 1, 1)."""
    return u.sum((2, 3), keepdim=True)

"""Group normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmark.curvature.layers.layer import Weights
from benchmark.curvature.layers.scratch import Scratch


class GroupNorm:
    """y = gamma h + beta with h = s (x - mean x) and s = (var x + eps)^(-1/2) in each group.

    Let <u> be the mean over a group and P(u) = s (u - <u> - h <h u>), which is h's derivative in
    x and, being symmetric, the backward pass as well: x's delta is P(g) with g = gamma delta.
    Hence R h = P(R x) and, because R s = -s^2 <h R x>,

        R P(g) = P(R g) - s (<h R x> P(g) + <h g> R h + <R h g> h).

    Means over a group are taken from sums over each channel, which the gradients of gamma and
    beta want as well. All is multiplied out by channel: one step over the image for each term,
    and less time than the fused kernels take in channels-last memory (measured).

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
        self._hg = self._mean(self._gamma * self._sum_hdelta)
        mean_g = self._mean(self._gamma * self._sum_delta)
        self._projected = torch.addcmul(-self._s * mean_g, delta, self._s * self._gamma)
        self._projected.addcmul_(self._h, -self._s * self._hg)
        return self._projected

    def add_gradient(self, total: Weights) -> None:
        self._add(self._sum_hdelta, self._sum_delta, total)

    def push(self, rx: Tensor, v: Weights) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        gamma, beta = (part.view(-1, 1, 1) for part in v[self._module])
        h_rx = self._mean(self._dot(self._h, rx))
        rh = torch.addcmul(-self._s * self._mean(_sum(rx)), rx, self._s, out=rx)
        rh.addcmul_(self._h, -self._s * h_rx)
        ry = torch.addcmul(beta, self._h, gamma).addcmul_(rh, self._gamma)
        return ry, (rh, h_rx)

    def pull(
        self, r_delta: Tensor, pushed: tuple[Tensor, Tensor], v: Weights, total: Weights
    ) -> Tensor:
        rh, h_rx = pushed
        gamma = v[self._module][0].view(-1, 1, 1)
        sum_rdelta, sum_hrdelta = _sum(r_delta), self._dot(self._h, r_delta)
        sum_rhdelta = self._dot(rh, self._delta)
        self._add(sum_hrdelta + sum_rhdelta, sum_rdelta, total)
        mean_rg = self._mean(self._gamma * sum_rdelta + gamma * self._sum_delta)
        # <h R g> + <R h g>
        along_h = self._mean(self._gamma * (sum_hrdelta + sum_rhdelta) + gamma * self._sum_hdelta)
        out = torch.addcmul(-self._s * mean_rg, r_delta, self._s * self._gamma, out=r_delta)
        out.addcmul_(self._delta, self._s * gamma)
        out.addcmul_(self._h, -self._s * along_h)
        out.addcmul_(rh, -self._s * self._hg)
        return out.addcmul_(self._projected, -self._s * h_rx)

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

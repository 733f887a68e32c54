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

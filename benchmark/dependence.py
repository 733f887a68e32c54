"""How much one variable depends on others, from samples, and which others are enough.

Azadkia & Chatterjee: A simple measure of conditional dependence (Annals of Statistics 2021). Ties
between samples have probability 0 for variables with a density, and are not broken at random.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dependence(y: Tensor, z: Tensor) -> float:
    """T_n(Y, Z): near 0 where Y is independent of Z, near 1 where it is a function of Z.

    Args:
        y: (n,) samples.
        z: (n, k) samples.
    """
    n, rank = len(y), _ranks(y)
    down = _ranks(-y)
    near = _nearest(_distances(z))
    above = n * torch.minimum(rank, rank[near]) - down.square()
    return float(above.sum() / (down * (n - down)).sum())


def conditional_dependence(y: Tensor, z: Tensor, x: Tensor) -> float:
    """T_n(Y, Z | X): near 0 where Y is independent of Z given X, near 1 where X and Z decide Y.

    Args:
        y: (n,) samples.
        z: (n, k) samples.
        x: (n, l) samples.
    """
    rank, given = _ranks(y), _distances(x)
    with_z = torch.minimum(rank, rank[_nearest(given + _distances(z))]).sum()
    without = torch.minimum(rank, rank[_nearest(given)]).sum()
    left = rank.sum() - without
    return float((with_z - without) / left) if left > 0 else 0.0  # X decides Y as it is


def feature_ordering(y: Tensor, features: Tensor) -> list[int]:
    """FOCI: columns of `features` (n, p), each the best given those before it, while one helps.

    The first is taken whether it helps or not.
    """
    left = list(range(features.shape[1]))
    chosen = [max(left, key=lambda j: dependence(y, features[:, [j]]))]
    left.remove(chosen[0])
    while left:
        given = features[:, chosen]
        gains = [conditional_dependence(y, features[:, [j]], given) for j in left]
        best = max(gains)
        if best <= 0:
            break
        chosen.append(left.pop(gains.index(best)))
    return chosen


def _ranks(y: Tensor) -> Tensor:
    """(n,): how many samples are not larger than each."""
    return torch.searchsorted(y.sort().values, y.contiguous(), right=True).double()


def _distances(z: Tensor) -> Tensor:
    """(n, n) squared distances, so that those of more variables are sums."""
    return (z[:, None] - z).square().sum(dim=2)


def _nearest(distances: Tensor) -> Tensor:
    """(n,): the nearest other sample of each."""
    return distances.clone().fill_diagonal_(torch.inf).argmin(dim=1)

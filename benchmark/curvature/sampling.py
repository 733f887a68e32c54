"""Rows drawn by how much they have to do with the Hessian."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_number(importance: Tensor) -> float:
    """Kish's effective sample size of weights (n,): n if all are equal, 1 if one has it all."""
    total = importance.double()
    return float(total.sum().square() / total.square().sum())


def inclusion(importance: Tensor, size: int) -> Tensor:
    """Probabilities (n,) in float64, at most 1, that sum to `size` and follow `importance`.

    They are proportional to it but for rows that would get more than 1, which are certain.

    Args:
        importance: (n,) positive.
        size: from 1 to n.
    """
    weight = importance.double()
    certain = torch.zeros_like(weight, dtype=torch.bool)
    while True:
        left = size - int(certain.sum())
        probability = torch.where(certain, 1.0, weight * (left / weight[~certain].sum()))
        over = probability > 1
        if left == 0 or not over.any():
            return probability.clamp_(max=1)
        certain |= over


def systematic_sample(probability: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of rows, each with its `probability` (n,) and at most once, in random order.

    Systematic sampling (Madow 1949): marks one apart, the first of them drawn, on the line along
    which the rows lie with their probabilities as lengths. So many rows are drawn as the
    probabilities sum to, give or take one.

    Args:
        probability: (n,) in float64.
        generator: on the CPU; draws one number and the order.
    """
    start = torch.rand((), generator=generator, dtype=torch.float64).to(probability.device)
    marks = (probability.cumsum(dim=0) + start).floor()
    drawn = marks.diff(prepend=marks.new_zeros(1)).nonzero()[:, 0]
    order = torch.randperm(len(drawn), generator=generator)
    return drawn[order.to(drawn.device)]

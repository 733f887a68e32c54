"""LiSSA: the stochastic inverse-Hessian estimator of the paper (Agarwal et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.minibatches import Products
from benchmark.problem.rows import Rows


def lissa(
    products: Products,
    rows: Rows,
    b: Tensor,
    generator: torch.Generator,
    *,
    damping: float,
    scale: float,
    chains: int,
    depth: int,
    batch: int,
    averaged: int = 1,
) -> Tensor:
    """An estimate of (hess L(w) + damping I)^{-1} b, (d,), as Zhang et al. publish it.

    Each chain runs u <- b + u - (H_batch u + damping u) / scale from u = b; the estimate is the
    mean over chains of u / scale. All chains advance in one batched program. It may diverge: a
    caller must measure the residual.

    Args:
        products: with the Hessians of minibatches at w, see `Problem.minibatch_hessians`.
        rows: what minibatches are drawn from, with replacement.
        b: (d,) right-hand side.
        generator: draws the minibatches.
        damping: lambda.
        scale: S, at least the largest eigenvalue of any damped minibatch Hessian.
        chains: independent recursions.
        depth: steps of each.
        batch: rows of one minibatch.
        averaged: last steps of which the mean is taken; 1 is the paper's recursion.
    """
    u = b.expand(chains, -1).clone()
    total = torch.zeros_like(u)
    for step in range(depth):
        x, y = _minibatches(rows, chains, batch, generator)
        u.sub_(products(x, y, u).add_(u, alpha=damping), alpha=1 / scale).add_(b)
        if step >= depth - averaged:
            total += u
    tail = min(averaged, depth)
    return (total / tail if tail else u).mean(dim=0) / scale


def largest_minibatch_curvature(
    products: Products,
    rows: Rows,
    dimension: int,
    generator: torch.Generator,
    *,
    batch: int,
    trials: int,
    steps: int,
) -> float:
    """The largest size of an eigenvalue of a minibatch Hessian, from below, for LiSSA's scale.

    Power iteration on all trial minibatches at once.

    Args:
        products: with the Hessians of minibatches.
        rows: what minibatches are drawn from, with replacement.
        dimension: d.
        generator: draws the minibatches and where the iteration starts.
        batch: rows of one minibatch.
        trials: minibatches.
        steps: of the power iteration.
    """
    x, y = _minibatches(rows, trials, batch, generator)
    u = torch.randn(trials, dimension, generator=generator, dtype=torch.float64).to(x)
    for _ in range(steps):
        u = products(x, y, u / u.norm(dim=1, keepdim=True))
    return float(u.norm(dim=1).max())


def _minibatches(
    rows: Rows, count: int, batch: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`count` minibatches drawn with replacement: x (count, batch, ...) and y (count, batch)."""
    index = torch.randint(len(rows), (count * batch,), generator=generator)
    part = rows.take(index)
    return part.x.unflatten(0, (count, batch)), part.y.view(count, batch)

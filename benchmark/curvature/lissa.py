"""LiSSA: the stochastic inverse-Hessian estimator of the paper (Agarwal et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from benchmark.problem.rows import Rows


def lissa(
    loss: Callable[[Tensor, Rows], Tensor],
    weights: Tensor,
    rows: Rows,
    b: Tensor,
    generator: torch.Generator,
    *,
    damping: float,
    scale: float,
    chains: int,
    depth: int,
    batch: int,
) -> Tensor:
    """An estimate of (hess loss(w) + damping I)^{-1} b, (d,), as Zhang et al. publish it.

    Each chain runs u <- b + u - (H_batch u + damping u) / scale from u = b; the estimate is the
    mean over chains of u / scale. All chains advance in one batched program. It may diverge: a
    caller must measure the residual.

    Args:
        loss: the objective of weights (d,) and rows.
        weights: (d,).
        rows: what minibatches are drawn from, with replacement.
        b: (d,) right-hand side.
        generator: draws the minibatches.
        damping: lambda.
        scale: S, at least the largest eigenvalue of any damped minibatch Hessian.
        chains: independent recursions.
        depth: steps of each.
        batch: rows of one minibatch.
    """

    def product(x: Tensor, y: Tensor, u: Tensor) -> Tensor:
        gradient = grad(lambda w: loss(w, Rows(x, y)))
        return jvp(gradient, (weights,), (u,))[1]

    products = vmap(product)
    u = b.expand(chains, -1).clone()
    for _ in range(depth):
        index = torch.randint(len(rows), (chains * batch,), generator=generator)
        part = rows.take(index)
        x, y = part.x.unflatten(0, (chains, batch)), part.y.view(chains, batch)
        u = b + u - (products(x, y, u) + damping * u) / scale
    return u.mean(dim=0) / scale

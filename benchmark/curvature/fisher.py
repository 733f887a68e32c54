"""The diagonal of the Fisher information, from squared gradients of single rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, vmap

from benchmark.curvature.chunks import slices

#: Numbers that a chunk of single-row gradients may hold: 128 MiB in float32.
HELD = 1 << 25


def mean_squared_gradient(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    weights: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    share: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """(1/n) sum_i s_i (grad loss(w, x_i, y_i))^2, elementwise, (d,).

    With the negative log-likelihood and the rows' own labels this is the diagonal of the empirical
    Fisher information.

    Args:
        loss: scalar, of weights (d,), inputs (1, ...) and labels (1,).
        weights: w.
        x: (n, ...).
        y: (n,) labels.
        share: s, (n,); ones if None.
        chunk: rows at a time; by default what `HELD` allows.
    """
    per_row = vmap(
        grad(lambda w, one, label: loss(w, one[None], label[None])), in_dims=(None, 0, 0)
    )
    share = torch.ones_like(y, dtype=weights.dtype) if share is None else share
    total = torch.zeros_like(weights)
    for part in slices(len(y), chunk or max(1, HELD // len(weights))):
        total += share[part] @ per_row(weights.detach(), x[part], y[part]).square()
    return total / len(y)


def fisher_diagonal(
    logits: Callable[[Tensor, Tensor], Tensor], weights: Tensor, x: Tensor
) -> Tensor:
    """E_{y ~ p(.|x_i, w)} (d log p(y | x_i, w) / dw)^2, mean over the rows, (d,).

    The expectation over labels is exact, one pass a class: no label of the data is looked at.

    Args:
        logits: of weights (d,) and inputs (n, ...), with values (n, classes).
        weights: w.
        x: (n, ...).
    """

    def loss(w: Tensor, one: Tensor, label: Tensor) -> Tensor:
        return -logits(w, one).log_softmax(dim=1).gather(1, label[None]).sum()

    total = torch.zeros_like(weights)
    for part in slices(len(x), max(1, HELD // len(weights))):
        with torch.no_grad():
            probabilities = logits(weights, x[part]).softmax(dim=1)
        for c, share in enumerate(probabilities.T):
            label = torch.full_like(share, c, dtype=torch.int64)
            mean = mean_squared_gradient(loss, weights, x[part], label, share=share)
            total += mean * (len(share) / len(x))
    return total

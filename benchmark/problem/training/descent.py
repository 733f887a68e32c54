"""Minibatch Adam on a flat weight vector: the inner loop of training and of fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmark.problem.ball import project
from benchmark.problem.rows import Rows


def batches(rows: Rows, size: int, generator: torch.Generator) -> Iterator[Rows]:
    """One epoch over `rows` in a fresh random order, in batches of `size` (the last is ragged)."""
    order = torch.randperm(len(rows), generator=generator)
    shuffled = rows.take(order)
    for start in range(0, len(rows), size):
        stop = start + size
        yield Rows(shuffled.x[start:stop], shuffled.y[start:stop])


def descend(
    loss: Callable[[Tensor, Rows], Tensor],
    start: Tensor,
    rows: Rows,
    generator: torch.Generator,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    radius: float | None = None,
    finished: Callable[[Tensor, int], bool] | None = None,
) -> Tensor:
    """Minimise `loss(weights, batch)` over `rows` by Adam (Kingma & Ba 2015); returns (d,).

    Each step is followed by a projection onto the ball of `radius`, if one is given. After each
    epoch `finished(weights, epochs so far)` may end it before all `epochs` are over.
    """
    weights = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=learning_rate, fused=True)
    for epoch in range(epochs):
        for part in batches(rows, batch, generator):
            (weights.grad,) = torch.autograd.grad(loss(weights, part), weights)
            optimiser.step()
            if radius is not None:
                with torch.no_grad():
                    weights.copy_(project(weights, radius))
        if finished is not None and finished(weights.detach(), epoch + 1):
            break
    return weights.detach()

"""Minibatch Adam on a flat weight vector: the inner loop of training and of fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from benchmark.problem.ball import project
from benchmark.problem.convex import ConvexSet
from benchmark.problem.rows import Rows

Schedule = Literal["cosine", "one-cycle"]


def batches(rows: Rows, size: int, generator: torch.Generator) -> Iterator[Rows]:
    """One epoch over `rows` in a fresh random order, in batches of `size` (the last is ragged)."""
    order = torch.randperm(len(rows), generator=generator).to(rows.y.device)
    for start in range(0, len(rows), size):
        yield rows.take(order[start : start + size])


def descend(
    loss: Callable[[Tensor, Rows], Tensor],
    start: Tensor,
    rows: Rows,
    generator: torch.Generator,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    radius: float | ConvexSet | None = None,
    schedule: Schedule | None = None,
    finished: Callable[[Tensor, int], bool] | None = None,
) -> Tensor:
    """Minimise `loss(weights, batch)` over `rows` by Adam (Kingma & Ba 2015); returns (d,).

    Each step is followed by a projection onto the ball of `radius`, or onto a convex set, if one
    is given. After each epoch `finished(weights, epochs so far)` may end it before all `epochs`
    are over. A `schedule` changes the learning rate step by step, over all epochs and up to
    `learning_rate`.

    >>> rows = Rows(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]))
    >>> found = descend(
    ...     lambda w, part: (part.x - w).square().mean(),
    ...     torch.zeros(1),
    ...     rows,
    ...     torch.Generator().manual_seed(0),
    ...     epochs=200,
    ...     batch=2,
    ...     learning_rate=0.1,
    ... )
    >>> round(float(found), 1)
    2.0
    """
    weights = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=learning_rate, fused=True)
    scheduler = _scheduler(schedule, optimiser, epochs * math.ceil(len(rows) / batch))
    for epoch in range(epochs):
        for part in batches(rows, batch, generator):
            weights.grad = _gradient(loss, weights, part)
            optimiser.step()
            if scheduler is not None:
                scheduler.step()
            if radius is not None:
                with torch.no_grad():
                    weights.copy_(project(weights, radius))
        if finished is not None and finished(weights.detach(), epoch + 1):
            break
    return weights.detach()


def _gradient(loss: Callable[[Tensor, Rows], Tensor], weights: Tensor, part: Rows) -> Tensor:
    """Gradient of the mean loss over `part`, (d,); in halves where the memory does not suffice.

    Raises:
        torch.OutOfMemoryError: if it does not suffice for half either.
    """
    try:
        return torch.autograd.grad(loss(weights, part), weights)[0]
    except torch.OutOfMemoryError:
        if len(part) < 2:
            raise
    torch.cuda.empty_cache()
    total = torch.zeros_like(weights)
    for half in part.split(math.ceil(len(part) / 2)):
        gradient = torch.autograd.grad(loss(weights, half), weights)[0]
        total.add_(gradient, alpha=len(half) / len(part))
    return total


def _scheduler(
    schedule: Schedule | None, optimiser: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """Half a cosine down to 0, or first up and then down (Smith & Topin 2019)."""
    if schedule is None:
        return None
    if schedule == "cosine":
        return CosineAnnealingLR(optimiser, T_max=steps)
    highest = optimiser.param_groups[0]["lr"]
    return OneCycleLR(optimiser, max_lr=highest, total_steps=steps + 1, cycle_momentum=False)

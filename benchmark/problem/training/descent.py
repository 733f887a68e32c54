"""Minibatch Adam on a flat weight vector, batches without an end, and distillation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from benchmark.optimisers import Adam
from benchmark.problem.convex import ConvexSet, project
from benchmark.problem.model import Model
from benchmark.rows import Rows

# Minibatch Adam on a flat weight vector: the inner loop of training and of fine-tuning.

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
    optimiser = Adam([weights], lr=learning_rate, fused=True)
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


def endless(rows: Rows, size: int, generator: torch.Generator) -> Iterator[Rows]:
    """Batches of `size` out of one epoch after another, each in a fresh random order."""
    while True:
        yield from batches(rows, size, generator)


@torch.no_grad()
def taught(model: Model, teacher: Tensor, rows: Rows, temperature: float) -> Rows:
    """`rows` with the teacher's answers in place of labels: (n, classes) log-probabilities.

    Args:
        model: of teacher and student.
        teacher: (d,) weights; they are not kept, so a student cannot change them.
        rows: whose inputs are asked about.
        temperature: that logits are divided by (Hinton, Vinyals & Dean 2015).
    """
    answers = [model(teacher, part.x) / temperature for part in rows.split(model.chunk)]
    return Rows(rows.x, torch.cat(answers).log_softmax(dim=1))


def teacher_kl(model: Model, student: Tensor, rows: Rows, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) at temperature T, mean over `rows` as `taught` made them.

    The factor keeps the size of its gradient much the same at every temperature.
    """
    answers = (model(student, rows.x) / temperature).log_softmax(dim=1)
    kl = F.kl_div(answers, rows.y, reduction="batchmean", log_target=True)
    return temperature**2 * kl

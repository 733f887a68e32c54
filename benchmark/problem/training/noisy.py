"""Descent with fresh noise at every step, and the fine-tuning that its epoch budget leaves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.rows import Rows
from benchmark.problem.training.endless import endless


def noisy_descent(
    start: Tensor,
    rows: Rows,
    step: Callable[[Tensor, Rows], Tensor],
    noise: Callable[[int], Tensor],
    generator: torch.Generator,
    *,
    steps: int,
    batch: int,
) -> tuple[Tensor, Tensor]:
    """Repeat w <- step(w, a batch of `rows`) + noise(t) for t = 0, ..., steps - 1.

    Args:
        start: w (d,).
        rows: batches are drawn from them, epoch after epoch.
        step: deterministic, given weights and batch.
        noise: (d,) of a step, drawn afresh for each.
        generator: orders the rows; what it draws does not depend on the weights.
        steps: T, at least one.
        batch: rows a step looks at.

    Returns:
        (d,) the weights, and (d,) what they were before the noise of the last step.
    """
    weights, centre, parts = start, start, endless(rows, batch, generator)
    for t in range(steps):
        centre = step(weights, next(parts))
        weights = centre + noise(t)
    return weights, centre


def epochs_left(epochs: int, rows: int, *, steps: int, batch: int) -> int:
    """Whole epochs over `rows` rows that a budget of `epochs` leaves after `steps` batches.

    Raises:
        LetheError: if the steps alone exceed it.
    """
    spent = steps * min(batch, rows) / rows
    if spent > epochs:
        raise LetheError(
            f"{steps} noisy steps take {spent:.3g} epochs, over the budget of {epochs}: "
            "raise epochs, or take fewer steps or smaller batches"
        )
    return int(epochs - spent)

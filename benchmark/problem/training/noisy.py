"""Descent with noise: fresh at every step, and DP-SGD by Opacus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmark.errors import LetheError
from benchmark.optimisers import SGD
from benchmark.problem.training.descent import endless
from benchmark.rows import Rows

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem


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


# DP-SGD by Opacus, on the flat weights of a problem's model.


def private_descent(
    problem: Problem,
    start: Tensor,
    rows: Rows,
    *,
    rate: float,
    steps: int,
    clip: float,
    noise_multiplier: float,
    learning_rate: float,
    divisor: float,
    sampling: torch.Generator,
    noise: torch.Generator,
) -> Tensor:
    """T steps of w <- w - eta ((sum of clipped gradients + N(0, (z C)^2 I)) / divisor + ridge w).

    Args:
        problem: with the model and the objective; gradients of rows are those of the data term.
        start: w (d,).
        rows: each is in a step's batch with probability `rate`, on its own (Poisson sampling).
        rate: q.
        steps: T.
        clip: C, of every row's gradient.
        noise_multiplier: z.
        learning_rate: eta.
        divisor: of the sum; where it does not depend on the rows, neither does the noise of a step.
        sampling: draws the batches, on the CPU.
        noise: draws the noise; seeds a generator of the device where that is not the CPU.

    Returns:
        (d,) weights.

    Raises:
        LetheError: if Opacus is not installed.
    """
    if problem.model.spec.kind == "tangent":
        raise LetheError("DP-SGD goes by a net's layers: take another model.kind than 'tangent'")
    try:
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer
        from opacus.utils.uniform_sampler import UniformWithReplacementSampler
    except ImportError as error:
        raise LetheError(f"DP-SGD wants Opacus: pip install opacus ({error})") from error
    with torch.device("meta"):  # no initial weight is drawn, the global generator stays untouched
        module = problem.model.spec.module(problem.model.inputs, problem.model.classes)
    module = module.to_empty(device=start.device).to(start.dtype)
    # a copy: parameters would share the memory of `start`
    vector_to_parameters(start.clone(), module.parameters())
    net = GradSampleModule(module)
    if start.device.type != "cpu":
        noise = torch.Generator(start.device).manual_seed(noise.initial_seed())
    descent = SGD(net.parameters(), lr=learning_rate, weight_decay=problem.objective.ridge)
    optimiser = DPOptimizer(
        descent,
        noise_multiplier=noise_multiplier,
        max_grad_norm=clip,
        expected_batch_size=divisor,
        generator=noise,
    )
    batches = UniformWithReplacementSampler(
        num_samples=len(rows), sample_rate=rate, generator=sampling, steps=steps
    )
    for index in batches:
        optimiser.zero_grad()
        part = rows.take(torch.tensor(index, dtype=torch.int64))
        # Opacus' hooks want an input that is differentiated
        logits = net(part.x.requires_grad_())
        problem.objective.data_term(logits, part.y).backward()
        optimiser.step()
    return parameters_to_vector(net.parameters()).detach()

"""Hessian-free recollection: certificates of corrected weights (after Qiao et al. 2025).

Training takes T steps w <- w - (eta / n) sum_i grad l_i(w), every loss with its ridge; retraining
takes the same steps, with the same divisor, over the rows that are kept.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.certify import require
from benchmark.certify.bounds import gaussian_certificate, gradient_bound, strongly_convex_bounds
from benchmark.certify.contraction import check_step
from benchmark.certify.measured import head_constants
from benchmark.contract.certificate import Certificate, Target
from benchmark.curvature.cg import conjugate_gradients
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training.newton import NewtonTraining


def descent_gradient(
    *,
    start_gradient: float,
    kept: float,
    steps: int,
    step_size: float,
    strong_convexity: float,
    gradient_lipschitz: float,
) -> float:
    """G after T full-batch steps of eta times `kept`: (1 - eta kept mu)^T ||grad L(w_0, D_r)||.

    Along gradient descent grad L(w_t+1) = (I - eta kept H) grad L(w_t), H a mean of Hessians.

    Args:
        start_gradient: ||grad L(w_0, D_r)||.
        kept: n_r over the divisor of the batch, in [0, 1].
        steps: T.
        step_size: eta.
        strong_convexity: mu.
        gradient_lipschitz: L.

    Raises:
        AssumptionBroken: if the step is too long to contract, or a number is out of its range.
    """
    require.nonnegative(start_gradient=start_gradient, kept=kept)
    check_step(step_size, strong_convexity, gradient_lipschitz)
    if kept > 1:
        raise AssumptionBroken(f"the share of rows that are kept is at most 1; it is {kept:.3g}")
    return (1 - step_size * kept * strong_convexity) ** steps * start_gradient


def recollection_certificate(
    problem: Problem,
    retain: Rows,
    target: Target,
    *,
    start: Tensor,
    trained: Tensor,
    corrected: Tensor,
    steps: int,
    step_size: float,
) -> Certificate:
    """The least of Theorems 5 and 6 for `corrected`, with the G that retraining ends at.

    The gradient of the corrected weights is measured, so however they came about it holds of them.
    `trained`, the weights before correction, are what doing nothing would publish.

    Args:
        problem: with a linear model and a ridge.
        retain: rows that are kept.
        target: to answer.
        start: w_0 (d,), of training and retraining.
        trained: w_T (d,).
        corrected: w_T and its correction (d,).
        steps: T.
        step_size: eta.

    Raises:
        AssumptionBroken: if the step is too long to contract, or the model is not linear.
    """
    head = head_constants(problem)
    goal = descent_gradient(
        start_gradient=float(problem.gradient(start, retain).norm()),
        kept=len(retain) / len(problem.train),
        steps=steps,
        step_size=step_size,
        strong_convexity=head.strong_convexity,
        gradient_lipschitz=head.gradient_lipschitz,
    )
    # what the arithmetic of so many steps may lose; the steps are contractions, none adds to it
    lost = steps * torch.finfo(problem.dtype).eps * float(1 + trained.norm())
    held = replace(
        problem, training=NewtonTraining(tolerance=goal + head.gradient_lipschitz * lost)
    )
    hessian = held.hessian(corrected, retain)

    def solve(b: Tensor) -> Tensor:
        return conjugate_gradients(hessian, b, tolerance=1e-2, max_products=500).x

    bounds = strongly_convex_bounds(held, hessian, solve)
    return gaussian_certificate(
        bounds, gradient_bound(held, held.gradient(trained, retain)), target
    )

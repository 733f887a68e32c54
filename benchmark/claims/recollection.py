"""Hessian-free recollection: what holds of corrected weights (after Qiao et al. 2025).

Training takes T steps w <- w - (eta / n) sum_i grad l_i(w), every loss with its ridge; retraining
takes the same steps, with the same divisor, over the rows that are kept.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.claims.bounds import gradient_residual, strongly_convex_bounds
from benchmark.claims.pair import pair_claim
from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Claim
from benchmark.contract.request import Request
from benchmark.curvature.hessian import Differentiated
from benchmark.curvature.krylov import conjugate_gradients
from benchmark.problem.training.newton import NewtonTraining
from benchmark.theory.recollection import descent_gradient


def recollection_claim(
    request: Request,
    *,
    start: Tensor,
    trained: Tensor,
    corrected: Tensor,
    steps: int,
    step_size: float,
) -> Claim:
    """The least of Theorems 5 and 6 for `corrected`, with the G that retraining ends at.

    The gradient of the corrected weights is measured, so however they came about it holds of them.
    `trained`, the weights before correction, are what doing nothing would publish. The noise
    follows from this bound: the claim is about this pair of models.

    Args:
        request: on a linear model with a ridge.
        start: w_0 (d,), of training and retraining.
        trained: w_T (d,).
        corrected: w_T and its correction (d,).
        steps: T.
        step_size: eta.

    Raises:
        AssumptionBroken: if the step is too long to contract, or the model is not linear.
    """
    problem, retain = request.problem, request.retain_rows
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
    bounds = strongly_convex_bounds(held, corrected, hessian, _solve)
    trivial = gradient_residual(held, trained, held.gradient(trained, retain))
    return pair_claim(request, bounds, trivial)


def _solve(hessian: Differentiated, b: Tensor) -> Tensor:
    return conjugate_gradients(hessian, b, tolerance=1e-2, max_products=500).x

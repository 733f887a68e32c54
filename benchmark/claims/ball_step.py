"""The Newton step under a norm constraint: a quadratic minimised over a ball.

Where training ends on the sphere ||w|| = C its gradient does not vanish, and the step that
Theorem 1' is about solves a trust-region problem instead of a linear system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from benchmark.claims.spectra import head_spectrum
from benchmark.curvature.hessian import Operator
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.convex import ball_residual, project
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory import require


@dataclass(frozen=True)
class BallStep:
    """An approximate minimiser over the ball, and how far from stationary it is.

    Attributes:
        weights: (d,), in the ball.
        residual: of the variational inequality at `weights`; see `benchmark.problem.convex`.
        products: operator products spent.
        converged: whether the residual reached the tolerance.
    """

    weights: Tensor
    residual: float
    products: int
    converged: bool


def ball_step(
    operator: Operator,
    gradient: Tensor,
    weights: Tensor,
    radius: float,
    *,
    curvature: float,
    smoothness: float,
    tolerance: float,
    max_products: int,
) -> BallStep:
    """Minimise <g, w - w*> + (w - w*)^T A (w - w*) / 2 over ||w|| <= C.

    Accelerated projected gradient descent with constant momentum (Nesterov 2004, 2.2.4). Wrong
    `curvature` or `smoothness` can only slow it down or spoil the residual, which is measured.

    Args:
        operator: A, symmetric, on (d,).
        gradient: g (d,), of the retained objective at `weights`.
        weights: w* (d,).
        radius: C.
        curvature: the smallest eigenvalue of A, positive.
        smoothness: the largest.
        tolerance: stop at a residual of tolerance ||g||.
        max_products: budget, at least 2.

    Raises:
        AssumptionBroken: if 0 < curvature <= smoothness fails, or the radius is not positive.
    """
    require.positive(curvature=curvature, radius=radius)
    if not curvature <= smoothness:
        raise AssumptionBroken(f"curvature {curvature:.3g} exceeds smoothness {smoothness:.3g}")
    goal = tolerance * float(gradient.norm())
    momentum = (smoothness**0.5 - curvature**0.5) / (smoothness**0.5 + curvature**0.5)
    target = operator @ weights - gradient  # the quadratic's gradient at w is A w - target
    w = project(weights, radius)
    aw = operator @ w
    products = 2
    y, ay = w, aw
    residual = ball_residual(w, aw - target, radius)
    while residual > goal and products < max_products:
        old, a_old = w, aw
        w = project(y - (ay - target) / smoothness, radius)
        aw = operator @ w
        products += 1
        # A is linear, so its value at the extrapolated point costs no product.
        y, ay = w + momentum * (w - old), aw + momentum * (aw - a_old)
        residual = ball_residual(w, aw - target, radius)
    return BallStep(w, residual, products, residual <= goal)


def newton_in_ball(problem: Problem, weights: Tensor, rows: Rows, *, tolerance: float) -> Tensor:
    """The end of the `path_in_ball` from `weights` (d,), (d,) in the ball."""
    path = path_in_ball(problem, weights, rows, tolerance=tolerance)
    return reduce(lambda _, later: later, path, weights)


def path_in_ball(
    problem: Problem, weights: Tensor, rows: Rows, *, tolerance: float
) -> Iterator[Tensor]:
    """Newton steps within the ball of training, each with a line search.

    Args:
        problem: a strongly convex one, with a radius.
        weights: (d,), in the ball.
        rows: over which the objective is the mean.
        tolerance: of the residual of the variational inequality at the end.

    Yields:
        (d,) in the ball, after each step.

    Raises:
        DidNotConverge: if no step helps any more.
    """
    radius, ends = problem.training.radius, head_spectrum(problem)
    while True:
        hessian = problem.hessian(weights, rows)
        gradient, left = hessian.gradient, ball_residual(weights, hessian.gradient, radius)
        if left <= tolerance:
            return
        step = ball_step(
            hessian,
            gradient,
            weights,
            radius,
            curvature=ends.smallest,
            smoothness=ends.largest,
            tolerance=min(0.1 * left, 0.5 * tolerance) / float(gradient.norm()),
            max_products=10_000,
        )
        weights = _along(problem, rows, weights, gradient, step.weights - weights, left)
        yield weights


def _along(
    problem: Problem,
    rows: Rows,
    weights: Tensor,
    gradient: Tensor,
    direction: Tensor,
    left: float,
) -> Tensor:
    """The first of w + s, w + s/2, ... that lowers the loss, or what is left, enough."""
    slope, radius = float(gradient.dot(direction)), problem.training.radius
    with torch.no_grad():
        loss = float(problem.loss(weights, rows))
    length = 1.0
    while length > 1e-9:
        candidate = project(weights.add(direction, alpha=length), radius)
        with torch.no_grad():
            lower = float(problem.loss(candidate, rows)) - loss <= 1e-4 * length * slope < 0
        if lower or ball_residual(candidate, problem.gradient(candidate, rows), radius) <= left / 2:
            return candidate
        length /= 2
    raise DidNotConverge(f"steps within the ball stalled at a residual of {left:.3g}")

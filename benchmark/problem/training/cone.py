"""Training of a head within a cone of weights: quadratics minimised over ordered pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import ConfigDict, Field
from scipy.optimize import nnls
from torch import Tensor

from benchmark.curvature.factor import dense_matrix
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.convex import Ordered
from benchmark.problem.training.newton import Converging
from benchmark.rows import Rows

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem

# Newton steps of a head within a cone: a quadratic minimised over ordered pairs of weights.


def cone_step(matrix: Tensor, gradient: Tensor, weights: Tensor, cone: Ordered) -> Tensor:
    """The minimiser over the cone of <g, v - w> + (v - w)^T H (v - w) / 2, (d,).

    The free coordinates are eliminated; what is left is a least squares problem in numbers that
    are not negative, which Lawson and Hanson's method solves in finitely many solves.

    Args:
        matrix: H (d, d) float64, positive definite.
        gradient: g (d,).
        weights: w (d,).
        cone: of pairs in order.
    """
    h = cone.rotated(cone.rotated(matrix).T)
    start, slope = cone.rotated(weights.double()), cone.rotated(gradient.double())
    linear = slope - h @ start
    along = torch.zeros(len(start), dtype=torch.bool)
    along[cone.below] = True
    inner = torch.linalg.cholesky(h[~along][:, ~along])
    solved = torch.cholesky_solve(
        torch.cat([h[~along][:, cone.below], linear[~along, None]], dim=1), inner
    )
    across = h[cone.below][:, ~along]
    schur = h[cone.below][:, cone.below] - across @ solved[:, :-1]
    rest = linear[cone.below] - across @ solved[:, -1]
    root = torch.linalg.cholesky((schur + schur.T) / 2)
    right = torch.linalg.solve_triangular(root, -rest[:, None], upper=False)[:, 0]
    found, _ = nnls(root.T.numpy(), right.numpy())
    free = torch.ones_like(along)
    free[cone.below[torch.from_numpy(found <= 0)]] = False
    end = torch.zeros_like(start)
    end[free] = torch.linalg.solve(h[free][:, free], -linear[free])
    return cone.project(cone.returned(end)).to(weights)


def cone_path(
    problem: Problem, weights: Tensor, rows: Rows, *, tolerance: float, steps: int
) -> Iterator[Tensor]:
    """The weights (d,) after each step from `weights` (d,) in the cone, until within `tolerance`.

    Args:
        problem: a head with a ridge whose training is constrained to a cone.
        weights: (d,), in the cone.
        rows: over which the objective is the mean.
        tolerance: of the residual of the variational inequality.
        steps: at most so many.

    Raises:
        DidNotConverge: after so many steps, or when none helps any more.
    """
    cone, least = _cone(problem), math.inf
    for _ in range(steps):
        hessian = problem.hessian(weights, rows)
        left = cone.residual(weights, hessian.gradient)
        if left <= tolerance:
            return
        least = min(least, left)
        end = cone_step(dense_matrix(hessian, weights), hessian.gradient, weights, cone)
        weights = _along(problem, rows, weights, hessian.gradient, end - weights, least)
        yield weights
    left = cone.residual(weights, problem.gradient(weights, rows))
    if left > tolerance:
        raise DidNotConverge(
            f"training in the cone stopped at a residual of {left:.3g}, above its tolerance "
            f"{tolerance:.3g}: raise max_steps or tolerance, or use float64"
        )


def _cone(problem: Problem) -> Ordered:
    """The cone that training is constrained to."""
    cone = problem.training.radius
    if not isinstance(cone, Ordered):
        raise AssumptionBroken("training is not within a cone of ordered weights: use cone-newton")
    return cone


def _along(
    problem: Problem, rows: Rows, weights: Tensor, gradient: Tensor, direction: Tensor, least: float
) -> Tensor:
    """The first of w + s, w + s/2, ... that lowers the loss, or the least residual, enough.

    Round-off hides by how much a loss falls, so half of the least residual so far will do too.
    Half of the last one would not: where a pair parts it jumps up, and the steps may go in circles.
    """
    slope, cone = float(gradient.dot(direction)), _cone(problem)
    with torch.no_grad():
        loss = float(problem.loss(weights, rows))
    length = 1.0
    while length > 1e-9:
        candidate = cone.project(weights.add(direction, alpha=length))
        with torch.no_grad():
            lower = float(problem.loss(candidate, rows)) - loss <= 1e-4 * length * slope < 0
        if lower or cone.residual(candidate, problem.gradient(candidate, rows)) <= least / 2:
            return candidate
        length /= 2
    raise DidNotConverge(
        f"training in the cone stalled at a residual of {least:.3g}: the tolerance may be below "
        "what the precision allows"
    )


class ConeTraining(Converging):
    """Newton's method over the cone, each step with a line search, in place of Newton-CG.

    The gradient does not vanish where it ends. What is held to `tolerance` is the residual of the
    variational inequality, and no theorem that takes the gradient for it may rely on this.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    algorithm: Literal["cone-newton"] = "cone-newton"
    tolerance: float = Field(gt=0)
    max_steps: int = Field(100, ge=1)
    within: Ordered = Field(exclude=True)

    @property
    def gradient_bound(self) -> None:
        """None: the gradient has no bound."""

    @property
    def residual_bound(self) -> float:
        """G: the residual that training guarantees."""
        return self.tolerance

    @property
    def radius(self) -> Ordered:
        """The cone, in a ball's place."""
        return self.within

    def minimise(self, problem: Problem, start: Tensor, rows: Rows) -> Tensor:
        """Weights (d,) in the cone whose residual is within the tolerance."""
        start = self.within.project(start)
        path = cone_path(problem, start, rows, tolerance=self.tolerance, steps=self.max_steps)
        return reduce(lambda _, later: later, path, start)

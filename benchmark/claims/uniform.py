"""The uniform guarantee: one public noise for every data set and every request, none refused.

The experiment fixes Delta_0, and with it sigma. An answer takes as many steps on the retained rows
as it takes until a proved bound on its distance to the retrained weights is within Delta_0: that
of Theorem 6 or of Theorem 5, whichever is there first. L is strongly convex, so the steps end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor

from benchmark.claims.ball_step import path_in_ball
from benchmark.claims.bounds import (
    Bound,
    Solved,
    constant,
    diameter,
    gradient_residual,
    least,
    of_head,
    retrained_bound,
    round_off,
    self_concordance,
    tolerance,
)
from benchmark.claims.stated import caveats
from benchmark.contract.claim import Claim, Distance
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.request import Request
from benchmark.curvature.hessian import Differentiated
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.convex import ball_residual, project
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.theory.gaussian import m_for

#: A step of a method's own solver must leave this share of the gradient at most; else Newton-CG,
#: which searches its lines, goes on.
CONTRACTION = 0.5
#: Theorem 6 charges what a step leaves at 1 / mu. Where that is more than this share of the step's
#: length, a method that can refines the step, so many times at most.
CHARGED, REFINEMENTS = 0.02, 5


@dataclass(frozen=True)
class Point:
    """Weights on the way to the retained minimiser.

    Attributes:
        weights, gradient: (d,), of the objective on the retained rows.
        hessian: of the same rows and weights; None until it is needed.
        number: of steps from the original.
    """

    weights: Tensor
    gradient: Tensor
    hessian: Differentiated | None = None
    number: int = 0

    @classmethod
    def at(cls, request: Request, weights: Tensor, number: int = 0) -> Point:
        """The point at `weights` (d,): one pass over the retained rows."""
        hessian = request.problem.hessian_on(weights, request.retain)
        return cls(weights, hessian.gradient, hessian, number)

    def differentiated(self, request: Request) -> Point:
        """The same point with its Hessian."""
        if self.hessian is not None:
            return self
        return replace(self, hessian=request.problem.hessian_on(self.weights, request.retain))


@dataclass(frozen=True)
class Reached:
    """Where the steps ended.

    Attributes:
        point: whose weights are released.
        bounds: proved ones on its distance to the retrained weights, one of them within Delta_0.
        further: steps beyond the method's own.
    """

    point: Point
    bounds: tuple[Bound, ...]
    further: int


def check_distance(problem: Problem, distance: float) -> None:
    """Refuse a Delta_0 that nothing can be proved to meet.

    Args:
        problem: strongly convex, trained to a tolerance.
        distance: Delta_0.

    Raises:
        AssumptionBroken: if it is below what training itself guarantees, or below round-off.
    """
    floor = retrained_bound(problem).value
    if floor > distance:
        raise AssumptionBroken(
            f"target.distance {distance:.3g} is below what training itself guarantees, 2 G / mu = "
            f"{floor:.3g}: raise it or lower training.tolerance"
        )
    lost = round_off(problem)
    if lost > distance:
        raise AssumptionBroken(
            f"target.distance {distance:.3g} is below round-off, about {lost:.3g} in "
            f"{str(problem.dtype).removeprefix('torch.')}: raise it or use float64"
        )


def within_distance(
    request: Request,
    start: Point,
    solve: Callable[[Point], Tensor],
    *,
    own: int | None = None,
    refine: Callable[[Tensor], Tensor] | None = None,
) -> Reached:
    """Step from `start` until a proved bound is within the request's Delta_0.

    Args:
        request: that is answered; its clock times the parts.
        start: where to begin.
        solve: (d,) of the method's own approximate solution of H x = gradient at a point.
        own: steps that are the method's own; None if every one is.
        refine: (d,) of an approximate H^{-1} b for b (d,), cheaper than a product; it tightens
            Theorem 6 of a step that was solved loosely.

    Raises:
        AssumptionBroken: if the problem is not strongly convex, or Delta_0 cannot be met.
    """
    problem, distance, point = request.problem, request.target.distance, start
    check_distance(problem, distance)
    while True:
        with request.clock.phase("certificate"):
            plain = gradient_residual(problem, point.weights, point.gradient)
        if plain.value <= distance:
            return _reached(point, (plain,), own)
        with request.clock.phase("inverse_hessian"):
            step = solve(point)
        if float(step.norm()) <= distance:  # no bound of Theorem 6 is below the step's length
            with request.clock.phase("certificate"):
                point = point.differentiated(request)
                solved = _refined(problem, point.hessian, step, refine)
                tight = self_concordance(problem, point.weights, point.hessian, solved)
            step = solved.step
            if tight is not None and tight.value <= distance:
                return _reached(point, (tight, plain), own)
        point = _after(request, point, step)


def _refined(
    problem: Problem,
    hessian: Differentiated,
    step: Tensor,
    refine: Callable[[Tensor], Tensor] | None,
) -> Solved:
    """The step (d,) as good as Theorem 6 wants it, or as `refine` makes it."""
    mu, _ = tolerance(problem)
    solved = Solved.by(hessian, step)
    for _ in range(REFINEMENTS if refine is not None else 0):
        if solved.residual <= CHARGED * mu * float(solved.step.norm()):
            break
        again = solved.refined(hessian, refine)
        if not again.residual < solved.residual:
            break
        solved = again
    return solved


def _reached(point: Point, bounds: tuple[Bound, ...], own: int | None) -> Reached:
    return Reached(point, bounds, 0 if own is None else max(0, point.number - own))


def _after(request: Request, point: Point, step: Tensor) -> Point:
    """The point after the step, if that helps enough; else where Newton-CG ends."""
    problem, number = request.problem, point.number + 1
    with request.clock.phase("gradient"):
        stepped = project(point.weights - step, problem.training.radius)
        after = Point.at(request, stepped, number)
    if _residual(problem, after) <= CONTRACTION * _residual(problem, point):
        return after
    with request.clock.phase("fall_back"):
        weights, steps = _converged(request, point.weights)
        return Point.at(request, weights, point.number + steps)


def _converged(request: Request, weights: Tensor) -> tuple[Tensor, int]:
    """Weights (d,) whose gradient Theorem 5 turns into Delta_0, and the steps to there.

    Each of them searches its line.

    Raises:
        AssumptionBroken: if they stall, as they do where Delta_0 is near round-off.
    """
    problem, distance = request.problem, request.target.distance
    mu, held = tolerance(problem)
    goal = (mu * distance - held) * (1 - 1e-6)  # room for the rounding of the bound
    rows, radius = request.retain_rows, problem.training.radius
    try:
        if radius is not None:
            path = path_in_ball(problem, weights, rows, tolerance=goal)
        else:
            training = NewtonTraining(tolerance=goal, max_steps=1000)
            path = training.path(problem, weights, rows)
        steps, found = reduce(lambda before, w: (before[0] + 1, w), path, (0, weights))
        if not steps:  # by the one gradient within, by the other not
            raise DidNotConverge("steps stalled at round-off")
        return found, steps
    except DidNotConverge as error:
        raise AssumptionBroken(
            f"no steps reach target.distance {distance:.3g} ({error}): raise it, or the ridge"
        ) from error


def _residual(problem: Problem, point: Point) -> float:
    """The norm of the gradient; in a ball, how far the point is from stationary.

    It is infinite where a solver has diverged.
    """
    if not torch.isfinite(point.weights).all():
        return math.inf
    return ball_residual(point.weights, point.gradient, problem.training.radius)


def uniform_claim(
    request: Request,
    reached: Reached,
    sigma: float | None = None,
    *,
    others: Sequence[Bound] = (),
) -> Claim:
    """The claim of a release within Delta_0: noise for Delta_0, whatever was reached.

    Args:
        request: that is answered.
        reached: the weights and their bounds.
        sigma: noise fixed beforehand; its own epsilon is then stated.
        others: bounds for the method's own steps; after further ones they are only shown.
    """
    problem, target = request.problem, request.target
    others = [replace(b, proved=b.proved and not reached.further) for b in others]
    m = m_for(target.epsilon, target.delta) if sigma is None else target.distance / sigma
    best = least(reached.bounds)
    evidence = Distance(
        bound=target.distance,
        sigma=target.distance / m,
        trivial=diameter(problem),
        constants=(
            constant("distance", target.distance),
            constant("training_gradient", problem.training.gradient_bound),
            *of_head(problem, "strong_convexity"),
        ),
        theorem=best.theorem,
        reached=best.value,
        alternatives=tuple(b.alternative for b in (*reached.bounds, *others) if b is not best),
        measured=(
            *(c for c in best.constants if c.provenance not in ("exact", "declared")),
            constant("steps_taken", reached.point.number, "measured"),
            constant("further_steps", reached.further, "measured"),
        ),
    )
    return Claim.of(
        "unlearn-on-retain",
        Gaussian(m=m),
        evidence,
        delta=target.delta,
        caveats=caveats(request),
    )

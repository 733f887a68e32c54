"""Certified unlearning of a ridge regression in milliseconds: kept sums and a kept inverse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count as counted

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.rounded import RoundOff
from benchmark.claims.uniform import CONTRACTION, Point, Reached, check_distance, uniform_claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import NormalEquations, flat, matrix, with_bias
from benchmark.curvature.symmetric import Inverse
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import DirectTraining, normal_equations
from benchmark.theory.round_off import lost_after_downdate, lost_in_sums, lost_to_waiting


@dataclass(frozen=True)
class Kept:
    """What the next request starts from: of the rows that are left, and secret like them.

    Attributes:
        sums: over the rows.
        inverse: about (S + n ridge I)^-1.
        residual: (classes, m), what the weights leave of the normal equations.
        lost: bound on the error of the sums, in rows; 0 where they are exact.
    """

    sums: NormalEquations
    inverse: Inverse
    residual: Tensor
    lost: float


class DowndateFast(Method):
    """Newton's step on the retained rows, by the inverse that Woodbury's identity downdates.

    The objective is quadratic, so one step ends at the minimiser, but for round-off and the ridge
    that a deletion takes out of the sum; more steps see to these. Theorem 5, with a charge for
    round-off, says when the weights are within the experiment's Delta_0, which the noise is for.
    No retained row is read. Beyond `woodbury` rows the inverse is computed anew from the sums.
    """

    name = "downdate-fast"
    title = "Downdate, fast"
    source = Source(
        paper="Hager: Updating the Inverse of a Matrix (SIAM Review 1989), as a certified update",
        url="https://doi.org/10.1137/1031049",
    )
    evidence = "distance"
    needs = frozenset({"forget", "strong_convexity", "squared_loss"})

    #: Rows up to which the inverse is downdated.
    woodbury: int = Field(300, ge=0, examples=[0])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Sum up the training rows and invert.

        Raises:
            LetheError: for anything but squared loss in float64.
            AssumptionBroken: if features are declared to be in fixed point and are not.
        """
        with clock.phase("sums"):
            sums = normal_equations(problem, problem.trained(original.rows)).waiting
        ridge, weights = problem.objective.ridge, matrix(original.weights, problem.model.classes)
        with clock.phase("inverse"):
            inverse = Inverse.of(sums.factor(ridge).inverse(), least=sums.rows * ridge)
        # a retraining that passes over the rows rounds, even where sums over them are exact
        exact = problem.fixed_point is not None and isinstance(problem.training, DirectTraining)
        lost = 0.0 if exact else lost_in_sums(sums.rows)
        return replace(original, memory=Kept(sums, inverse, sums.residual(ridge, weights), lost))

    def unlearn(self, request: Request) -> Release:
        kept, weights = request.original.memory, request.original.weights
        if not isinstance(kept, Kept):
            raise AssumptionBroken(
                "downdate-fast answers from sums that were kept: prepare the state"
            )
        check_distance(request.problem, request.target.distance)
        if len(request.forget):
            with request.clock.phase("downdate"):
                kept = self._downdated(request, kept)
        end = _steps(request, weights, kept, kept.inverse.solve)
        if end is None:  # the inverse no longer helps
            with request.clock.phase("factor"):
                ridge = request.problem.objective.ridge
                factor, least = kept.sums.factor(ridge), kept.sums.rows * ridge
                kept = replace(kept, inverse=Inverse.of(factor.inverse(), least))
            end = _steps(request, weights, kept, factor.solve)
        if end is None:
            raise AssumptionBroken(
                f"no steps reach target.distance {request.target.distance:.3g} in float64: raise "
                "it or the ridge, or declare problem.fixed_point"
            )
        reached, residual = end
        claim = uniform_claim(request, reached)
        return request.release(reached.point.weights, claim, replace(kept, residual=residual))

    def _downdated(self, request: Request, kept: Kept) -> Kept:
        """What is kept, without the forgotten rows."""
        forgotten, ridge = request.forget_rows, request.problem.objective.ridge
        solution = matrix(request.original.weights, request.problem.model.classes)
        rows, count = with_bias(forgotten.x), len(forgotten)
        errors = solution @ rows.T
        errors[forgotten.y, torch.arange(count)] -= 1
        sums = kept.sums.without(forgotten.x, forgotten.y)
        inverse = kept.inverse.without(rows, count * ridge) if count <= self.woodbury else None
        lost, before, waiting = kept.lost, kept.sums.rows, kept.sums.pending
        return Kept(
            sums,
            inverse or Inverse.of(sums.inverse(ridge), least=sums.rows * ridge),
            kept.residual.add(solution, alpha=count * ridge).add_(errors @ rows),
            lost_after_downdate(lost, before, count, waiting=waiting) if lost else 0.0,
        )


def _steps(
    request: Request, weights: Tensor, kept: Kept, solve: Callable[[Tensor], Tensor]
) -> tuple[Reached, Tensor] | None:
    """Steps until the bound is within the request's Delta_0, one at least if rows are forgotten.

    Args:
        request: that is answered; its clock times the parts.
        weights: (d,) to start from.
        kept: sums over the retained rows, and the residual of the weights.
        solve: (classes, m), about the inverse times a residual.

    Returns:
        The end and its residual (classes, m); None if steps no longer shorten the residual.
    """
    problem, residual, least = request.problem, kept.residual, len(request.forget) > 0
    waiting = lost_to_waiting(columns=residual.shape[1], waiting=kept.sums.pending)
    round_off = RoundOff(problem, kept.sums.rows, kept.lost + waiting)
    for number in counted():
        with request.clock.phase("certificate"):
            bound = round_off.bound(weights, residual)
        if bound.value <= request.target.distance and number >= least:
            point = Point(weights, flat(residual) / -kept.sums.rows, number=number)
            return Reached(point, (bound,), 0), residual
        with request.clock.phase("inverse_hessian"):
            solution = matrix(weights, problem.model.classes).add_(solve(residual))
        with request.clock.phase("gradient"):
            before, weights = float(residual.norm()), flat(solution)
            residual = kept.sums.residual(problem.objective.ridge, solution)
            after = float(residual.norm())
        first = number < least and math.isfinite(after)  # the rest of it is round-off, perhaps
        if not (first or after <= CONTRACTION * before > 0):
            return None
    return None

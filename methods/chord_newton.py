"""Certified chord steps: one factorised Hessian for every request."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field
from torch import Tensor

from benchmark.claims.uniform import Point, uniform_claim, within_distance
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.factor import Factor
from benchmark.curvature.hessian import downdated, exchanged
from benchmark.problem.problem import Problem


@dataclass(frozen=True)
class Kept:
    """What the next request starts from.

    Attributes:
        factor: of the Hessian on all training rows at the weights as trained.
        gradient: (d,) of the objective on the state's rows at the state's weights.
    """

    factor: Factor
    gradient: Tensor


class ChordNewton(Method):
    """w - P^{-1} grad L(w, D_r), with P the Hessian as it was when the model was trained.

    P is factorised once. The first gradient comes from the forgotten rows and the one that was
    kept. Steps go on until a bound is within the experiment's Delta_0, which the noise is for; each
    costs one pass over the data. Where Theorem 6 can decide, it takes a product or a few: what a
    step leaves is solved for again. Where P no longer helps, Newton-CG takes over.
    """

    name = "newton-chord"
    title = "Chord Newton"
    source = Source(
        paper="Ortega, Rheinboldt: Iterative Solution of Nonlinear Equations in Several Variables "
        "(1970), section 7.1, as a certified update",
        url="https://doi.org/10.1137/1.9780898719468",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity"})
    answers_altered = True

    #: Share of each block's weight that is left out of P, lightest rows first.
    neglect: float = Field(1e-3, ge=0, lt=1, examples=[0.5])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("factor"):
            gradient = problem.hessian_on(original.weights, original.rows).gradient
            factor = problem.factor(original.weights, original.rows, neglect=self.neglect)
        return replace(original, memory=Kept(factor, gradient))

    def unlearn(self, request: Request) -> Release:
        kept: Kept = request.original.memory
        with request.clock.phase("gradient"):
            gradient = self._without_forgotten(request, kept.gradient)
        start = Point(request.original.weights, gradient)
        solve = kept.factor.solve
        reached = within_distance(request, start, lambda at: solve(at.gradient), refine=solve)
        end = reached.point
        claim = uniform_claim(request, reached)
        return request.release(end.weights, claim, replace(kept, gradient=end.gradient))

    def _without_forgotten(self, request: Request, gradient: Tensor) -> Tensor:
        """The gradient on the retained rows, from the kept one and the rows that change alone."""
        if len(request.forget) == 0:
            return gradient
        weights, trained = request.original.weights, len(request.original.rows)
        forgotten = request.problem.gradient(weights, request.forget_rows)
        if len(request.altered) == 0:
            return downdated(gradient, forgotten, trained, len(request.forget))
        return exchanged(
            gradient,
            forgotten,
            request.problem.gradient(weights, request.altered_rows),
            rows=trained,
            old_rows=len(request.forget),
            new_rows=len(request.altered),
        )

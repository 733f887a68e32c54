"""Certified chord steps: one factorised Hessian for every request."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import Field
from torch import Tensor

from benchmark.certify.bounds import gradient_bound, strongly_convex_bounds
from benchmark.certify.budget import certified
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.downdate import downdated
from benchmark.curvature.factor import Factor
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
    kept, so a request costs one pass over the data a step and one for Theorem 6.
    """

    name = "newton-chord"
    title = "Chord Newton"
    source = Source(
        paper="Ortega, Rheinboldt: Iterative Solution of Nonlinear Equations in Several Variables "
        "(1970), section 7.1, as a certified update",
        url="https://doi.org/10.1137/1.9780898719468",
    )
    certifies = True
    needs = frozenset({"retain", "forget", "strong_convexity"})

    steps: int = Field(1, ge=1)
    #: Share of each block's weight that is left out of P, lightest rows first.
    neglect: float = Field(1e-3, ge=0, lt=1, examples=[0.5])
    #: Delta_0, the distance that the noise is made for.
    budget: float | None = Field(None, gt=0, examples=[1e-2])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("factor"):
            gradient = problem.hessian_on(original.weights, original.rows).gradient
            factor = problem.factor(original.weights, original.rows, neglect=self.neglect)
        return replace(original, memory=Kept(factor, gradient))

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        kept: Kept = request.original.memory
        with request.clock.phase("gradient"):
            gradient = self._without_forgotten(request, kept.gradient)
        trivial = bound = gradient_bound(problem, gradient)
        hessian = None
        for _ in range(self.steps if len(request.forget) else 0):
            if self.budget is not None and bound.value <= self.budget:
                break
            with request.clock.phase("inverse_hessian"):
                weights = weights - kept.factor.solve(gradient)
            with request.clock.phase("gradient"):
                hessian = problem.hessian_on(weights, request.retain)
                gradient = hessian.gradient
                bound = gradient_bound(problem, gradient)
        with request.clock.phase("certificate"):
            hessian = hessian or problem.hessian_on(weights, request.retain)
            bounds = strongly_convex_bounds(problem, hessian, kept.factor.solve)
        released, certificate = certified(request, weights, bounds, trivial, self.budget)
        if released is not weights:  # refused and retrained
            gradient = problem.hessian_on(released, request.retain).gradient
        return request.release(released, certificate, replace(kept, gradient=gradient))

    def _without_forgotten(self, request: Request, gradient: Tensor) -> Tensor:
        """The gradient on the retained rows, from the kept one and the forgotten rows alone."""
        if len(request.forget) == 0:
            return gradient
        forgotten = request.problem.gradient(request.original.weights, request.forget_rows)
        return downdated(gradient, forgotten, len(request.original.rows), len(request.forget))

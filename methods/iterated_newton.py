"""Certified Newton steps, as many as the guarantee asks."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from benchmark.claims.uniform import Point, uniform_claim, within_distance
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.krylov import conjugate_gradients


class IteratedNewton(Method):
    """Newton steps on the retained rows until a bound is within the experiment's Delta_0.

    The noise is for Delta_0, whatever the request. Where the bound holds at the weights as they
    are no step is taken, and no request is refused.
    """

    name = "newton-iterated"
    title = "Iterated Newton"
    source = Source(
        paper="Guo, Goldstein, Hannun, van der Maaten: Certified Data Removal from Machine "
        "Learning Models (ICML 2020)",
        url="https://arxiv.org/abs/1911.03030",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity"})
    answers_altered = True

    #: Each step solves to this residual, relative to the gradient.
    tolerance: float = Field(1e-3, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=1, examples=[2])

    def unlearn(self, request: Request) -> Release:
        with request.clock.phase("gradient"):
            start = Point.at(request, request.original.weights)
        reached = within_distance(request, start, self._solve)
        return request.release(reached.point.weights, uniform_claim(request, reached))

    def _solve(self, at: Point) -> Tensor:
        return conjugate_gradients(
            at.hessian, at.gradient, tolerance=self.tolerance, max_products=self.max_products
        ).x

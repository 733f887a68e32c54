"""Certified Newton steps, as many as the budget asks."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from benchmark.certify.bounds import gradient_bound, strongly_convex_bounds
from benchmark.certify.budget import certified
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Differentiated


class IteratedNewton(Method):
    """Newton steps on the retained rows until Theorem 5's bound meets a budget.

    Without a budget, `steps` steps, and noise for what was reached (mode `instance`). With one,
    the noise is fixed by it beforehand, the steps stop once the bound meets it, and a request
    that never does is refused and answered by retraining (mode `budgeted`, Guo et al. 2020).
    """

    name = "newton-iterated"
    title = "Iterated Newton"
    source = Source(
        paper="Guo, Goldstein, Hannun, van der Maaten: Certified Data Removal from Machine "
        "Learning Models (ICML 2020)",
        url="https://arxiv.org/abs/1911.03030",
    )
    certifies = True
    needs = frozenset({"retain", "forget", "strong_convexity"})

    steps: int = Field(2, ge=1)
    #: Each step solves to this residual, relative to the gradient.
    tolerance: float = Field(1e-3, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=1, examples=[2])
    #: Delta_0, the distance that the noise is made for.
    budget: float | None = Field(None, gt=0, examples=[1e-2])

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        with request.clock.phase("gradient"):
            hessian = problem.hessian_on(weights, request.retain)
        trivial = bound = gradient_bound(problem, hessian.gradient)
        for _ in range(self.steps if len(request.forget) else 0):
            if self.budget is not None and bound.value <= self.budget:
                break
            with request.clock.phase("inverse_hessian"):
                weights = weights - self._solve(hessian, hessian.gradient, self.tolerance)
            with request.clock.phase("gradient"):
                hessian = problem.hessian_on(weights, request.retain)
                bound = gradient_bound(problem, hessian.gradient)
        with request.clock.phase("certificate"):
            loose = max(self.tolerance, 1e-2)
            bounds = strongly_convex_bounds(
                problem, hessian, lambda b: self._solve(hessian, b, loose)
            )
        return request.release(*certified(request, weights, bounds, trivial, self.budget))

    def _solve(self, hessian: Differentiated, b: Tensor, tolerance: float) -> Tensor:
        solution = conjugate_gradients(
            hessian, b, tolerance=tolerance, max_products=self.max_products
        )
        return solution.x

"""Certified Newton steps, as many as the budget asks."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from benchmark.certify.bounds import (
    Bound,
    gaussian_certificate,
    gradient_bound,
    strongly_convex_bounds,
)
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.cg import conjugate_gradients
from benchmark.errors import AssumptionBroken


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
    needs = frozenset({"retain", "strong_convexity"})

    steps: int = Field(2, ge=1)
    #: Each step solves to this residual, relative to the gradient.
    tolerance: float = Field(1e-3, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=1, examples=[2])
    #: Delta_0, the distance that the noise is made for.
    budget: float | None = Field(None, gt=0, examples=[1e-2])

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        retain = request.retain_rows
        trivial = None
        for _ in range(self.steps if len(request.forget) else 0):
            with request.clock.phase("gradient"):
                hessian = problem.hessian(weights, retain)
                bound = gradient_bound(problem, hessian.gradient)
            trivial = trivial or bound
            if self.budget is not None and bound.value <= self.budget:
                break
            with request.clock.phase("inverse_hessian"):
                step = conjugate_gradients(
                    hessian,
                    hessian.gradient,
                    tolerance=self.tolerance,
                    max_products=self.max_products,
                )
            weights = weights - step.x
        with request.clock.phase("certificate"):
            bounds = strongly_convex_bounds(
                problem, weights, retain, tolerance=1e-2, max_products=self.max_products
            )
        trivial = trivial or bounds[1]
        if self.budget is not None:
            return self._within_budget(request, weights, bounds, trivial)
        return request.release(weights, gaussian_certificate(bounds, trivial, request.target))

    def _within_budget(
        self, request: Request, weights: Tensor, bounds: list[Bound], trivial: Bound
    ) -> Release:
        """Noise for the budget whatever was reached; retraining where it was not met."""
        problem, held = request.problem, request.problem.training.gradient_bound
        if 2 * held > self.budget * problem.strong_convexity:
            raise AssumptionBroken(
                f"budget {self.budget:.3g} is below what training itself guarantees, 2 G / mu = "
                f"{2 * held / problem.strong_convexity:.3g}: raise it or train further"
            )
        reached = min(bound.value for bound in bounds if bound.proved)
        outcome = "Theorem 5 within a budget"
        if reached > self.budget:
            outcome = f"refused and retrained: Delta was {reached:.3g}, over the budget"
            with request.clock.phase("training"):
                weights = problem.fit(request.retain, request.seeds.generator("training"))
        promised = Bound(outcome, self.budget, bounds[0].constants)
        certificate = gaussian_certificate(
            [promised, *(Bound(bound.theorem, bound.value, (), proved=False) for bound in bounds)],
            trivial,
            request.target,
            mode="budgeted",
        )
        return request.release(weights, certificate)

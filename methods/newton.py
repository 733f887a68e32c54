"""Certified single-step Newton update."""

from __future__ import annotations

from pydantic import Field

from benchmark.certify.bounds import (
    Bound,
    ball_bound,
    gaussian_certificate,
    newton_step_bound,
    strongly_convex_bound,
)
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.cg import Solution, conjugate_gradients
from benchmark.curvature.hessian import Damped, Hessian
from benchmark.curvature.lanczos import extreme_eigenvalues
from benchmark.errors import AssumptionBroken
from benchmark.problem.training.descent import project


class Newton(Method):
    """w* - (H + lambda I)^{-1} grad L(w*, D_r), solved by conjugate gradients.

    Certified by Theorem 5 where the objective is strongly convex, else by min{2C, Theorem 4}.
    """

    name = "newton"
    title = "Single-step Newton"
    source = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks "
        "(ICML 2024)",
        url="https://arxiv.org/abs/2408.00920",
    )
    certifies = True
    needs = frozenset({"retain"})

    #: lambda; by default 0 where the objective is strongly convex, else 0.1 ||H|| + 2 |lambda_min|.
    damping: float | None = Field(None, ge=0, examples=[10.0])
    #: CG stops at this residual, relative to the gradient.
    tolerance: float = Field(1e-4, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(200, ge=1, examples=[1])
    #: Noise per coordinate; by default what the target asks for.
    sigma: float | None = Field(None, gt=0, examples=[1e-3])
    #: Lanczos steps for the ends of the spectrum, where the objective is not convex.
    spectrum_steps: int = Field(20, ge=1)
    #: M and G of Theorem 4: assumptions, recorded as such.
    hessian_lipschitz: float | None = Field(None, gt=0, examples=[1.0])
    retrain_gradient: float | None = Field(None, ge=0, examples=[1.0])

    def unlearn(self, request: Request) -> Release:
        problem, original = request.problem, request.original.weights
        retain = request.retain_rows
        with request.clock.phase("gradient"):
            hessian = problem.hessian(original, retain)
        with request.clock.phase("spectrum"):
            smallest, damping = self._spectrum(request, hessian)
        with request.clock.phase("inverse_hessian"):
            step = self._solve(hessian, damping)
        # U(D, {}, A(D)) is the reference side of the definition: A(D) itself.
        moved = original - step.x if len(request.forget) else original
        updated = project(moved, problem.training.radius)
        with request.clock.phase("certificate"):
            if problem.strong_convexity is not None:
                trivial = strongly_convex_bound(problem, hessian.gradient)
                bound = strongly_convex_bound(problem, problem.gradient(updated, retain))
            else:
                trivial = ball_bound(problem)
                bound = self._theorem_4(request, damping, smallest, step)
            certificate = gaussian_certificate(bound, trivial, request.target, sigma=self.sigma)
        return request.release(updated, certificate)

    def _spectrum(self, request: Request, hessian: Hessian) -> tuple[float, float]:
        """lambda_min and the damping."""
        mu = request.problem.strong_convexity
        if mu is not None:
            return mu, self.damping or 0.0
        start = hessian.gradient.new_empty(hessian.gradient.shape)
        start.normal_(generator=request.generator("training", "lanczos"))
        smallest, largest = extreme_eigenvalues(hessian, start, self.spectrum_steps)
        automatic = 0.1 * max(largest, -smallest) + 2 * max(0.0, -smallest)
        return smallest, automatic if self.damping is None else self.damping

    def _solve(self, hessian: Hessian, damping: float) -> Solution:
        step = conjugate_gradients(
            Damped(hessian, damping),
            hessian.gradient,
            tolerance=self.tolerance,
            max_products=self.max_products,
        )
        if step.curvature is not None:
            raise AssumptionBroken(
                f"H + damping I is not positive definite: damping {damping:.3g} leaves a "
                f"curvature of {step.curvature:.3g}; raise damping"
            )
        return step

    def _theorem_4(
        self, request: Request, damping: float, smallest: float, step: Solution
    ) -> Bound:
        return newton_step_bound(
            request.problem,
            damping=damping,
            smallest_eigenvalue=smallest,
            residual=step.residual,
            hessian_lipschitz=self.hessian_lipschitz,
            retrain_gradient=self.retrain_gradient,
        )

"""Certified single-step Newton update."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from benchmark.certify.ball_step import ball_step
from benchmark.certify.bounds import (
    ball_bound,
    gaussian_certificate,
    gradient_bound,
    newton_step_bounds,
    strongly_convex_bounds,
)
from benchmark.certify.newton import forget_gradient_error
from benchmark.contract.certificate import Certificate
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped, Operator
from benchmark.curvature.lanczos import extreme_eigenvalues
from benchmark.errors import AssumptionBroken
from benchmark.problem.training.descent import project


class Newton(Method):
    """w* - (H + lambda I)^{-1} g, with g and H of the retained rows at the original w*.

    Certified by the least of Theorems 5 and 6 where the objective is strongly convex, else of 2C
    and Theorem 4; where the step leaves the ball, by Theorem 1' for the step within it.
    """

    name = "newton"
    title = "Single-step Newton"
    source = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks "
        "(ICML 2024)",
        url="https://arxiv.org/abs/2408.00920",
    )
    certifies = True

    #: lambda; by default 0 where the objective is strongly convex, else 0.1 ||H|| + 2 |lambda_min|.
    damping: float | None = Field(None, ge=0, examples=[10.0])
    #: Solves stop at this residual, relative to the gradient.
    tolerance: float = Field(1e-4, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=2, examples=[2])
    #: `forgotten` takes -(n_u / n_r) grad L(w*, D_u) for g and owes what that leaves out.
    gradient: Literal["retained", "forgotten"] = "retained"
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
            gradient, owed = self._gradient(request, hessian.gradient)
        with request.clock.phase("spectrum"):
            smallest, largest, damping = self._spectrum(request, hessian)
        damped = Damped(hessian, damping)
        with request.clock.phase("inverse_hessian"):
            step = self._solve(request, damped, gradient, damping)
            updated, residual = original - step, float((gradient - damped @ step).norm())
            radius = problem.training.radius
            if radius is not None and float(updated.norm()) > radius:
                within = ball_step(
                    damped,
                    gradient,
                    original,
                    radius,
                    curvature=smallest + damping,
                    smoothness=largest + damping,
                    tolerance=self.tolerance,
                    max_products=self.max_products,
                )
                updated, residual = within.weights, within.residual
        if len(request.forget) == 0:
            # U(D, {}, A(D)) is the reference side of the definition: A(D) itself.
            updated = project(original, radius)
        with request.clock.phase("certificate"):
            if problem.strong_convexity is not None:
                certificate = self._convex_certificate(request, hessian.gradient, updated)
            else:
                certificate = self._net_certificate(request, damping, smallest, residual + owed)
        return request.release(updated, certificate)

    def _gradient(self, request: Request, exact: Tensor) -> tuple[Tensor, float]:
        """The gradient to step along, and a bound on its distance to the exact one."""
        if self.gradient == "retained" or len(request.forget) == 0:
            return exact, 0.0
        problem, w = request.problem, request.original.weights
        n, n_u = len(request.original.rows), len(request.forget)
        forgotten = problem.gradient(w, request.forget_rows)
        trained = problem.gradient(w, problem.train.take(request.original.rows))
        owed = forget_gradient_error(
            training_gradient=float(trained.norm()), trained=n, forgotten=n_u
        )
        return forgotten * (-n_u / (n - n_u)), owed

    def _spectrum(self, request: Request, hessian: Operator) -> tuple[float, float, float]:
        """lambda_min, lambda_max and the damping."""
        mu = request.problem.strong_convexity
        if mu is not None:
            return mu, mu, self.damping or 0.0
        start = request.original.weights.new_empty(request.problem.model.dimension)
        start.copy_(
            start.cpu().normal_(generator=request.generator("training", self.name, "lanczos"))
        )
        smallest, largest = extreme_eigenvalues(hessian, start, self.spectrum_steps)
        automatic = 0.1 * max(largest, -smallest) + 2 * max(0.0, -smallest)
        return smallest, largest, automatic if self.damping is None else self.damping

    def _solve(self, request: Request, damped: Damped, gradient: Tensor, damping: float) -> Tensor:
        """(d,) approximate solution of damped @ step = gradient."""
        step = conjugate_gradients(
            damped, gradient, tolerance=self.tolerance, max_products=self.max_products
        )
        if step.curvature is not None:
            raise AssumptionBroken(
                f"H + damping I is not positive definite: damping {damping:.3g} leaves a "
                f"curvature of {step.curvature:.3g}; raise damping"
            )
        return step.x

    def _convex_certificate(
        self, request: Request, original_gradient: Tensor, updated: Tensor
    ) -> Certificate:
        bounds = strongly_convex_bounds(
            request.problem,
            updated,
            request.retain_rows,
            tolerance=max(self.tolerance, 1e-2),
            max_products=self.max_products,
        )
        trivial = gradient_bound(request.problem, original_gradient)
        return gaussian_certificate(bounds, trivial, request.target, sigma=self.sigma)

    def _net_certificate(
        self, request: Request, damping: float, smallest: float, residual: float
    ) -> Certificate:
        bounds, caveats = newton_step_bounds(
            request.problem,
            damping=damping,
            smallest_eigenvalue=smallest,
            residual=residual,
            hessian_lipschitz=self.hessian_lipschitz,
            retrain_gradient=self.retrain_gradient,
        )
        trivial = ball_bound(request.problem)
        return gaussian_certificate(
            bounds, trivial, request.target, sigma=self.sigma, caveats=caveats
        )

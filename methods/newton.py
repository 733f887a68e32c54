"""Certified single-step Newton update."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
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
from benchmark.certify.measured import (
    Spectrum,
    head_spectrum,
    measured_spectrum,
    sampled_hessian_lipschitz,
)
from benchmark.certify.newton import forget_gradient_error
from benchmark.contract.certificate import Certificate
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped
from benchmark.errors import AssumptionBroken
from benchmark.problem.ball import project
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


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
    #: Lanczos steps for the spectrum of a net, and the share of delta that pays for their failure.
    spectrum_steps: int = Field(60, ge=1, examples=[30])
    failure_probability: float = Field(1e-7, gt=0, lt=1)
    #: M of Theorem 4: assumed, or the largest of some sampled ratios, which is an under-estimate.
    hessian_lipschitz: float | Literal["sampled"] | None = Field(None, examples=["sampled"])
    #: G of Theorem 4, where training is not held to one: assumed.
    retrain_gradient: float | None = Field(None, ge=0, examples=[1.0])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Of a net, measure the spectrum on all training rows once, for every later request."""
        if problem.strong_convexity is not None:
            return original
        with clock.phase("spectrum"):
            rows = problem.train.take(original.rows)
            measured = self._lanczos(
                problem, original.weights, rows, seeds.generator("training", self.name, "whole")
            )
        return replace(original, memory=measured)

    def unlearn(self, request: Request) -> Release:
        problem, original = request.problem, request.original.weights
        with request.clock.phase("gradient"):
            hessian = problem.hessian_on(original, request.retain)
            gradient, owed = self._gradient(request, hessian.gradient)
        spectrum = self._spectrum(request)
        damping = self._damping(problem, spectrum)
        with request.clock.phase("inverse_hessian"):
            updated, residual = self._step(request, Damped(hessian, damping), gradient, spectrum)
        if len(request.forget) == 0:
            # U(D, {}, A(D)) is the reference side of the definition: A(D) itself.
            updated = project(original, problem.training.radius)
        with request.clock.phase("certificate"):
            if problem.strong_convexity is not None:
                certificate = self._convex_certificate(request, hessian.gradient, updated)
            else:
                certificate = self._net_certificate(request, damping, spectrum, residual + owed)
        return request.release(updated, certificate)

    def _gradient(self, request: Request, exact: Tensor) -> tuple[Tensor, float]:
        """The gradient to step along, and a bound on its distance to the exact one."""
        if self.gradient == "retained" or len(request.forget) == 0:
            return exact, 0.0
        problem, w = request.problem, request.original.weights
        n, n_u = len(request.original.rows), len(request.forget)
        forgotten = problem.gradient(w, request.forget_rows)
        trained = problem.hessian_on(w, request.original.rows).gradient
        owed = forget_gradient_error(
            training_gradient=float(trained.norm()), trained=n, forgotten=n_u
        )
        return forgotten * (-n_u / (n - n_u)), owed

    def _lanczos(
        self, problem: Problem, weights: Tensor, rows: Rows, generator: torch.Generator
    ) -> Spectrum:
        """Bounds that fail with half of the failure probability: two of them make one spectrum."""
        return measured_spectrum(
            problem,
            weights,
            rows,
            generator,
            steps=self.spectrum_steps,
            failure_probability=self.failure_probability / 2,
        )

    def _spectrum(self, request: Request) -> Spectrum:
        """On the retained rows: exact of a linear model, else all rows' carried over (Weyl)."""
        problem, state = request.problem, request.original
        if problem.strong_convexity is not None:
            return head_spectrum(problem)
        if state.memory is None:  # after the first request of a stream the weights have moved
            state = self.prepare(problem, state, request.seeds, request.clock)
        if len(request.forget) == 0:
            return state.memory
        with request.clock.phase("spectrum"):
            draws = request.generator("training", self.name, "forgotten")
            forgotten = self._lanczos(problem, state.weights, request.forget_rows, draws)
            return state.memory.without(
                forgotten, trained=len(state.rows), forgotten_rows=len(request.forget)
            )

    def _damping(self, problem: Problem, spectrum: Spectrum) -> float:
        if self.damping is not None:
            return self.damping
        if problem.strong_convexity is not None:
            return 0.0
        return 0.1 * spectrum.norm + 2 * max(0.0, -spectrum.smallest)

    def _step(
        self, request: Request, damped: Damped, gradient: Tensor, spectrum: Spectrum
    ) -> tuple[Tensor, float]:
        """The weights after the step, within the ball if there is one, and its residual."""
        original, radius = request.original.weights, request.problem.training.radius
        step = self._solve(request, damped, gradient)
        if radius is None or float((original - step).norm()) <= radius:
            return original - step, float((gradient - damped @ step).norm())
        within = ball_step(
            damped,
            gradient,
            original,
            radius,
            curvature=spectrum.smallest + damped.damping,
            smoothness=spectrum.largest + damped.damping,
            tolerance=self.tolerance,
            max_products=self.max_products,
        )
        return within.weights, within.residual

    def _solve(self, request: Request, damped: Damped, gradient: Tensor) -> Tensor:
        """(d,) approximate solution of damped @ step = gradient."""
        step = conjugate_gradients(
            damped, gradient, tolerance=self.tolerance, max_products=self.max_products
        )
        if step.curvature is not None:
            raise AssumptionBroken(
                f"H + damping I is not positive definite: damping {damped.damping:.3g} leaves a "
                f"curvature of {step.curvature:.3g}; raise damping"
            )
        return step.x

    def _convex_certificate(
        self, request: Request, original_gradient: Tensor, updated: Tensor
    ) -> Certificate:
        problem = request.problem
        hessian = problem.hessian_on(updated, request.retain)

        def solve(b: Tensor) -> Tensor:
            tolerance = max(self.tolerance, 1e-2)
            solution = conjugate_gradients(
                hessian, b, tolerance=tolerance, max_products=self.max_products
            )
            return solution.x

        bounds = strongly_convex_bounds(problem, hessian, solve)
        trivial = gradient_bound(problem, original_gradient)
        return gaussian_certificate(bounds, trivial, request.target, sigma=self.sigma)

    def _net_certificate(
        self, request: Request, damping: float, spectrum: Spectrum, residual: float
    ) -> Certificate:
        problem = request.problem
        lipschitz = self.hessian_lipschitz
        if lipschitz == "sampled":
            lipschitz = sampled_hessian_lipschitz(
                problem,
                request.original.weights,
                request.retain_rows,
                request.generator("training", self.name, "lipschitz"),
            )
        bounds, caveats = newton_step_bounds(
            problem,
            damping=damping,
            spectrum=spectrum,
            residual=residual,
            hessian_lipschitz=lipschitz,
            sampled=self.hessian_lipschitz == "sampled",
            retrain_gradient=self.retrain_gradient,
        )
        return gaussian_certificate(
            bounds,
            ball_bound(problem),
            request.target,
            sigma=self.sigma,
            failure_probability=spectrum.failure_probability,
            caveats=caveats,
        )

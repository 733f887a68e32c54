"""Certified single-step Newton update."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.ball_step import ball_step
from benchmark.claims.bounds import (
    ball_bound,
    constant,
    gradient_residual,
    newton_step_bounds,
    strongly_convex_bounds,
)
from benchmark.claims.pair import pair_claim
from benchmark.claims.spectra import (
    Spectrum,
    measured_spectrum,
    sampled_hessian_lipschitz,
)
from benchmark.claims.stated import caveats
from benchmark.claims.uniform import Point, uniform_claim, within_distance
from benchmark.contract.claim import Claim, Distance
from benchmark.contract.clock import Clock
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.hessian import Damped, Differentiated
from benchmark.curvature.krylov import conjugate_gradients
from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory.damped_newton import forget_gradient_error
from benchmark.theory.gaussian import m_for


class Newton(Method):
    """w* - (H + lambda I)^{-1} g, with g and H of the retained rows at the original w*.

    Where the objective is strongly convex the noise is for the experiment's Delta_0. The one step
    is taken, and more where its bound is not within Delta_0 yet; the row says how often. On a net
    nothing but 2C holds for every data set: the noise is for that, and Theorem 4 stands beside it.
    """

    name = "newton"
    title = "Single-step Newton"
    source = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks "
        "(ICML 2024)",
        url="https://arxiv.org/abs/2408.00920",
    )
    evidence = "distance"
    answers_altered = True

    #: lambda; by default 0 where the objective is strongly convex, else 0.1 ||H|| + 2 |lambda_min|.
    damping: float | None = Field(None, ge=0, examples=[10.0])
    #: Solves stop at this residual, relative to the gradient.
    tolerance: float = Field(1e-4, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=2, examples=[2])
    #: `forgotten` takes -(n_u / n_r) grad L(w*, D_u) for g and owes what that leaves out.
    gradient: Literal["retained", "forgotten"] = "retained"
    #: `measured` stops after the one step, whatever it leaves, and fits the noise to the bound on
    #: that: the paper's own, and a yardstick. A net has 2C either way.
    noise: Literal["uniform", "measured"] = "uniform"
    #: Noise per coordinate; by default what the target asks for.
    sigma: float | None = Field(None, gt=0, examples=[1e-3])
    #: Lanczos steps for the spectrum of a net, and the probability that its bounds may fail with.
    spectrum_steps: int = Field(60, ge=1, examples=[30])
    failure_probability: float = Field(1e-7, gt=0, lt=1)
    #: M of Theorem 4: assumed, or the largest of some sampled ratios, which is an under-estimate.
    hessian_lipschitz: float | Literal["sampled"] | None = Field(None, examples=["sampled"])
    #: G of Theorem 4, where training is not held to one: assumed.
    retrain_gradient: float | None = Field(None, ge=0, examples=[1.0])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Measure a net's spectrum on all training rows once, for every later request."""
        if problem.strong_convexity is not None:
            return original
        draws = seeds.generator("training", self.name, "whole")
        return self._measured(problem, original, draws, clock)

    def unlearn(self, request: Request) -> Release:
        convex = request.problem.strong_convexity is not None
        if len(request.altered) and not (convex and self.gradient == "retained"):
            raise AssumptionBroken(
                f"{self.name} answers altered rows on a strongly convex objective and by the "
                "retained gradient alone: what it takes from the forgotten rows leaves out their "
                "new versions"
            )
        return self._on_head(request) if convex else self._on_net(request)

    def _on_head(self, request: Request) -> Release:
        with request.clock.phase("gradient"):
            start = Point.at(request, request.original.weights)
        point = self._after_own_step(request, start) if len(request.forget) else start
        if self.noise == "measured":
            return request.release(point.weights, self._measured_claim(request, start, point))
        if not float(point.gradient.norm()) <= float(start.gradient.norm()):  # or not a number
            point = replace(start, number=point.number)
        reached = within_distance(
            request,
            point,
            lambda p: self._solve(request, Damped(p.hessian, self.damping or 0.0), p),
            own=1,
        )
        return request.release(reached.point.weights, uniform_claim(request, reached, self.sigma))

    def _after_own_step(self, request: Request, start: Point) -> Point:
        gradient, _ = self._gradient(request, start.gradient)
        damped = Damped(start.hessian, self.damping or 0.0)
        with request.clock.phase("inverse_hessian"):
            step = self._solve(request, damped, replace(start, gradient=gradient))
        with request.clock.phase("gradient"):
            radius = request.problem.training.radius
            return Point.at(request, project(start.weights - step, radius), number=1)

    def _measured_claim(self, request: Request, start: Point, point: Point) -> Claim:
        problem = request.problem
        with request.clock.phase("certificate"):
            bounds = strongly_convex_bounds(
                problem,
                point.weights,
                point.hessian,
                self._loose,
            )
            trivial = gradient_residual(problem, start.weights, start.gradient)
        return pair_claim(request, bounds, trivial, self.sigma)

    def _loose(self, hessian: Differentiated, b: Tensor) -> Tensor:
        """(d,) solution of hessian @ x = b, as loose as Theorem 6 may have it."""
        loose = max(self.tolerance, 1e-2)
        return conjugate_gradients(hessian, b, tolerance=loose, max_products=self.max_products).x

    def _on_net(self, request: Request) -> Release:
        problem, original = request.problem, request.original.weights
        with request.clock.phase("gradient"):
            hessian = problem.hessian_on(original, request.retain)
            gradient, owed = self._gradient(request, hessian.gradient)
        spectrum = self._spectrum(request)
        damping = self._damping(spectrum)
        with request.clock.phase("inverse_hessian"):
            damped, start = Damped(hessian, damping), Point(original, gradient, hessian)
            updated, residual = self._step_in_ball(request, damped, start, spectrum)
        if len(request.forget) == 0:
            # U(D, {}, A(D)) is the reference side of the definition: A(D) itself.
            updated = project(original, problem.training.radius)
        with request.clock.phase("certificate"):
            claim = self._net_claim(request, damping, spectrum, residual + owed)
        return request.release(updated, claim)

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

    def _measured(
        self, problem: Problem, state: State, draws: torch.Generator, clock: Clock
    ) -> State:
        """The state with the spectrum on its rows, at its weights."""
        with clock.phase("spectrum"):
            rows = problem.train.take(state.rows)
            return replace(state, memory=self._lanczos(problem, state.weights, rows, draws))

    def _spectrum(self, request: Request) -> Spectrum:
        """On the retained rows, carried over from all rows (Weyl)."""
        problem, state = request.problem, request.original
        if state.memory is None:
            # After the first request of a stream the weights have moved, by what the last start
            # showed: the bounds hold of a start that is independent of them.
            draws = request.generator("training", self.name, "whole")
            state = self._measured(problem, state, draws, request.clock)
        if len(request.forget) == 0:
            return state.memory
        with request.clock.phase("spectrum"):
            draws = request.generator("training", self.name, "forgotten")
            forgotten = self._lanczos(problem, state.weights, request.forget_rows, draws)
            return state.memory.without(
                forgotten, trained=len(state.rows), forgotten_rows=len(request.forget)
            )

    def _damping(self, spectrum: Spectrum) -> float:
        if self.damping is not None:
            return self.damping
        return 0.1 * spectrum.norm + 2 * max(0.0, -spectrum.smallest)

    def _step_in_ball(
        self, request: Request, damped: Damped, start: Point, spectrum: Spectrum
    ) -> tuple[Tensor, float]:
        """The weights after the step, within the ball if there is one, and its residual."""
        original, gradient = start.weights, start.gradient
        radius = request.problem.training.radius
        step = self._solve(request, damped, start)
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

    def _solve(self, request: Request, damped: Damped, at: Point) -> Tensor:
        """(d,) approximate solution of damped @ step = the gradient at a point."""
        step = conjugate_gradients(
            damped, at.gradient, tolerance=self.tolerance, max_products=self.max_products
        )
        if step.curvature is not None:
            raise AssumptionBroken(
                f"H + damping I is not positive definite: damping {damped.damping:.3g} leaves a "
                f"curvature of {step.curvature:.3g}; raise damping"
            )
        return step.x

    def _net_claim(
        self, request: Request, damping: float, spectrum: Spectrum, residual: float
    ) -> Claim:
        """Noise for 2C; Theorem 4 beside it, which follows from this request."""
        problem, target, ball = request.problem, request.target, ball_bound(request.problem)
        lipschitz = self.hessian_lipschitz
        if lipschitz == "sampled":
            draws = request.generator("training", self.name, "lipschitz")
            lipschitz = sampled_hessian_lipschitz(
                problem, request.original.weights, request.retain_rows, draws
            )
        others = newton_step_bounds(
            problem,
            damping=damping,
            spectrum=spectrum,
            residual=residual,
            hessian_lipschitz=lipschitz,
            sampled=self.hessian_lipschitz == "sampled",
            retrain_gradient=self.retrain_gradient,
        )
        m = m_for(target.epsilon, target.delta) if self.sigma is None else ball.value / self.sigma
        measured = {
            "damping": damping,
            "smallest_eigenvalue": spectrum.smallest,
            "failure_probability": spectrum.failure_probability,
            "residual": residual,
        }
        evidence = Distance(
            bound=ball.value,
            sigma=ball.value / m,
            trivial=ball.value,
            constants=ball.constants,
            theorem=ball.theorem,
            reached=ball.value,
            alternatives=tuple(bound.alternative for bound in others),
            measured=(
                *(constant(name, value, "measured") for name, value in measured.items()),
                *(c for bound in others for c in bound.constants if c not in ball.constants),
            ),
        )
        return Claim.of(
            "unlearn-on-retain",
            Gaussian(m=m),
            evidence,
            delta=target.delta,
            caveats=caveats(request),
        )

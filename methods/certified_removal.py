"""Certified removal from an objective that training has perturbed."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.certified_removal import removal_claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.krylov import conjugate_gradients
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.variants import PerturbedProblem
from benchmark.theory.certified_removal import residual_budget
from benchmark.theory.gaussian import m_for


class CertifiedRemoval(Method):
    """Newton steps on the retained rows of L(w) + b.w, with b ~ N(0, sigma^2 I) from training.

    A release is published as long as the gradient that is left, measured on all retained rows and
    so with all that earlier requests left behind, has a norm within a budget; else the model is
    retrained with a fresh b. What training's tolerance leaves is hidden by a little
    noise on the weights. Definition `retrain`, where training carries the same perturbation and
    the same noise.
    """

    name = "certified-removal"
    title = "Certified removal"
    source = Source(
        paper="Guo, Goldstein, Hannun, van der Maaten: Certified Data Removal from Machine "
        "Learning Models (ICML 2020)",
        url="https://arxiv.org/abs/1911.03030",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain", "strong_convexity"})

    #: Of the perturbation b, per coordinate.
    sigma: float = Field(1e-3, gt=0)
    #: Of the noise on the weights, per coordinate.
    output_sigma: float = Field(1e-5, gt=0)
    #: Newton steps at most: no more are taken than the budget asks.
    steps: int = Field(3, ge=1, examples=[1])
    #: Each step solves to this residual, relative to the gradient.
    tolerance: float = Field(1e-4, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=1, examples=[2])

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        with clock.phase("training"):
            return self._trained(problem, rows, seeds)

    def unlearn(self, request: Request) -> Release:
        state, rows = request.original, request.retain_rows
        problem = PerturbedProblem.of(request.problem, state.memory)
        settings = self._settings(request.problem)
        budget = residual_budget(m=m_for(request.target.epsilon, request.target.delta), **settings)
        with request.clock.phase("gradient"):
            hessian = problem.hessian(state.weights, rows)
        for _ in range(self.steps if len(request.forget) else 0):
            with request.clock.phase("inverse_hessian"):
                step = conjugate_gradients(
                    hessian,
                    hessian.gradient,
                    tolerance=self.tolerance,
                    max_products=self.max_products,
                ).x
            with request.clock.phase("gradient"):
                state = State(state.weights - step, request.retain, state.memory)
                hessian = problem.hessian(state.weights, rows)
            if float(hessian.gradient.norm()) <= budget:
                break
        if float(hessian.gradient.norm()) > budget:
            with request.clock.phase("training"):
                scope = ("request", request.number)
                state = self._trained(request.problem, request.retain, request.seeds, *scope)
        published = state.weights + request.noise(state.weights, self.output_sigma)
        return request.release(
            state.weights,
            removal_claim(request, budget=budget, **settings),
            state.memory,
            published=published,
            noisy=NoisyStep(state.weights, published, self.output_sigma),
        )

    def _settings(self, problem: Problem) -> dict[str, float]:
        """What the accounting rests on, the target apart."""
        held = problem.training.gradient_bound
        if held is None or problem.training.radius is not None:
            raise AssumptionBroken(
                "certified removal needs training to a gradient tolerance and no ball (newton-cg)"
            )
        return {
            "sigma": self.sigma,
            "output_sigma": self.output_sigma,
            "training_gradient": held,
            "strong_convexity": problem.strong_convexity,
        }

    def _trained(self, problem: Problem, rows: Tensor, seeds: Seeds, *scope: object) -> State:
        """The minimiser of the objective that a fresh b has perturbed, and b."""
        draws = seeds.generator("training", self.name, *scope)
        b = self.sigma * torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
        b = b.to(problem.device, problem.dtype)
        perturbed = PerturbedProblem.of(problem, b)
        return State(perturbed.fit(rows, seeds.generator("training", *scope)), rows, b)

"""Certified unlearning by projected noisy gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.algorithmic import algorithmic_claim, setting
from benchmark.claims.altered import beyond_capacity, check_counted
from benchmark.claims.bounds import of_head
from benchmark.claims.rows import rows_constant, rows_left
from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.rows import Rows
from benchmark.theory.gaussian import m_for
from benchmark.theory.langevin import Chain


class Langevin(Method):
    """x <- Proj_C(x - eta grad L(x) + N(0, sigma^2 I)): T steps on all rows, then K on the kept.

    K follows from the target and declared constants: at the first request the fewest steps that
    make two trainings indistinguishable that differ in `capacity` rows, later those for any two
    starts in the ball. A first request for more rows learns anew, as the other side does. The
    iterates carry noise from the start, and the last one is published.
    """

    name = "langevin"
    title = "Langevin unlearning"
    source = Source(
        paper="Chien, Wang, Chen, Li: Langevin Unlearning: A New Perspective of Noisy Gradient "
        "Descent for Machine Unlearning (NeurIPS 2024)",
        url="https://arxiv.org/abs/2401.10371",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain", "strong_convexity"})

    #: Noise per coordinate and step; the larger, the fewer steps.
    sigma: float = Field(0.02, gt=0)
    #: C, of the ball that every iterate is projected onto.
    radius: float = Field(10.0, gt=0)
    #: T, of training.
    learning_steps: int = Field(400, ge=1, examples=[40])
    #: eta; by default 2 / (L + mu), the longest that the theorem allows.
    step_size: float | None = Field(None, gt=0, examples=[0.05])
    #: n_u that the first request's steps are made for.
    capacity: int = Field(20, ge=1, examples=[4])

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        chain = self._chain(problem, len(rows))
        with clock.phase("training"):
            start = problem.model.initial_weights(seeds.generator("training"))
            weights = self._learned(
                problem, start, rows, chain.step_size, seeds.generator("training", self.name)
            )
        return State(weights, rows, chain)

    def unlearn(self, request: Request) -> Release:
        problem, start, target = request.problem, request.original.weights, request.target
        chain: Chain = request.original.memory
        problem.rows_at_least(len(request.retain))  # checked, if any are declared
        check_counted(request)
        steps, m = chain.steps(m_for(target.epsilon, target.delta))
        beyond = beyond_capacity(
            len(request.forget),
            capacity=self.capacity,
            trained=len(request.original.rows),
            rows=chain.rows,
            altered=len(request.altered) > 0,
        )
        if chain.learned is not None and beyond:
            with request.clock.phase("training"):
                draws = request.generator("training", self.name)
                fresh = problem.model.initial_weights(request.generator("training"))
                start = self._learned(problem, fresh, request.retain, chain.step_size, draws)
        with request.clock.phase("noisy_descent"):
            weights, last = self._descend(
                problem,
                start,
                request.retain_rows,
                chain.step_size,
                steps,
                lambda t: request.noise(start, self.sigma, t),
            )
        claim = self._claim(request, chain, steps, m)
        return request.release(weights, claim, replace(chain, learned=None), noisy=last)

    def _chain(self, problem: Problem, trained: int) -> Chain:
        head = head_constants(problem)
        longest = 2 / (head.gradient_lipschitz + head.strong_convexity)
        return Chain.of(
            head,
            step_size=self.step_size or longest,
            sigma=self.sigma,
            radius=self.radius,
            learning_steps=self.learning_steps,
            rows=rows_left(problem, trained, self.capacity),
            capacity=self.capacity,
        )

    def _claim(self, request: Request, chain: Chain, steps: int, m: float) -> Claim:
        problem = request.problem
        settings = (
            setting("radius", self.radius),
            setting("step_size", chain.step_size),
            *of_head(problem, "strong_convexity", "gradient_lipschitz"),
        )
        if chain.learned is not None:
            settings += (
                setting("learning_steps", chain.learning_steps),
                setting("capacity", self.capacity),
                rows_constant(problem, chain.rows),
            )
        return algorithmic_claim(
            request,
            "reference",
            Gaussian(m=m),
            "projected-noisy-descent",
            sigma=self.sigma,
            steps=steps,
            settings=settings,
        )

    def _learned(
        self,
        problem: Problem,
        start: Tensor,
        rows: Tensor,
        step_size: float,
        draws: torch.Generator,
    ) -> Tensor:
        """(d,) after T noisy steps on the training rows `rows` (n,) from `start` (d,)."""

        def noise(_: int) -> Tensor:
            fresh = torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
            return (self.sigma * fresh).to(problem.device, problem.dtype)

        start = start.to(problem.device, problem.dtype)
        data = problem.train.take(rows)
        return self._descend(problem, start, data, step_size, self.learning_steps, noise)[0]

    def _descend(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        step_size: float,
        steps: int,
        noise: Callable[[int], Tensor],
    ) -> tuple[Tensor, NoisyStep]:
        """So many noisy steps within the ball on the mean over `rows`: (d,), and the last step."""
        weights = project(start, self.radius)
        for t in range(steps):
            centre = weights - step_size * problem.gradient(weights, rows)
            noised = centre + noise(t)
            weights = project(noised, self.radius)
        return weights, NoisyStep(centre, noised, self.sigma)

"""Certified unlearning by projected noisy gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from benchmark.certify.bounds import constant
from benchmark.certify.gaussian import m_for
from benchmark.certify.inside import inside_certificate
from benchmark.certify.langevin import Chain
from benchmark.certify.measured import head_constants
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.problem.ball import project
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


class Langevin(Method):
    """x <- Proj_C(x - eta grad L(x) + N(0, sigma^2 I)): T steps on all rows, then K on the kept.

    K follows from the target: the fewest steps that make any two starts in the ball
    indistinguishable, or, at the first request and for up to `capacity` rows, two trainings that
    differ in them. The iterates carry noise from the start, and the last one is published.
    """

    name = "langevin"
    title = "Langevin unlearning"
    source = Source(
        paper="Chien, Wang, Chen, Li: Langevin Unlearning: A New Perspective of Noisy Gradient "
        "Descent for Machine Unlearning (NeurIPS 2024)",
        url="https://arxiv.org/abs/2401.10371",
    )
    certifies = True
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
        head = head_constants(problem)
        longest = 2 / (head.gradient_lipschitz + head.strong_convexity)
        chain = Chain.of(
            head,
            step_size=self.step_size or longest,
            sigma=self.sigma,
            radius=self.radius,
            learning_steps=self.learning_steps,
            trained=len(rows),
            capacity=self.capacity,
        )
        draws = seeds.generator("training", self.name)

        def noise(_: int) -> Tensor:
            fresh = torch.randn(problem.model.dimension, generator=draws, dtype=torch.float64)
            return (self.sigma * fresh).to(problem.device, problem.dtype)

        with clock.phase("training"):
            start = problem.model.initial_weights(seeds.generator("training"))
            start = start.to(problem.device, problem.dtype)
            data, eta = problem.train.take(rows), chain.step_size
            weights = self._descend(problem, start, data, eta, self.learning_steps, noise)
        return State(weights, rows, chain)

    def unlearn(self, request: Request) -> Release:
        problem, start, target = request.problem, request.original.weights, request.target
        chain: Chain = request.original.memory
        if len(request.forget) > self.capacity:
            chain = replace(chain, learned=None)
        steps, m = chain.steps(m_for(target.epsilon, target.delta))
        with request.clock.phase("noisy_descent"):
            weights = self._descend(
                problem,
                start,
                request.retain_rows,
                chain.step_size,
                steps,
                lambda t: request.noise(start, self.sigma, t),
            )
        certificate = inside_certificate(
            target,
            "projected noisy gradient descent, shifted interpolation",
            m=m,
            sigma=self.sigma,
            constants={"steps": steps},
        )
        rests_on = (
            *certificate.constants,
            constant("radius", self.radius),
            constant("step_size", chain.step_size),
            constant("strong_convexity", problem.strong_convexity),
        )
        certificate = certificate.model_copy(update={"constants": rests_on})
        return request.release(weights, certificate, replace(chain, learned=None))

    def _descend(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        step_size: float,
        steps: int,
        noise: Callable[[int], Tensor],
    ) -> Tensor:
        """So many noisy steps within the ball on the mean over `rows`; returns (d,)."""
        weights = project(start, self.radius)
        for t in range(steps):
            step = step_size * problem.gradient(weights, rows)
            weights = project(weights - step + noise(t), self.radius)
        return weights

"""Certified unlearning by one Newton step from the forgotten rows' gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.altered import counts_altered
from benchmark.claims.sekhari import published_bounds
from benchmark.claims.uniform import Point, uniform_claim, within_distance
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.hessian import Differentiated
from benchmark.curvature.krylov import Solution, conjugate_gradients
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem


@dataclass(frozen=True)
class Kept:
    """What every later request starts from.

    Attributes:
        weights: (d,) w*, as trained; secret.
        trained: n, rows they were trained on.
        pull: (d,) sum of the gradients at w* of all rows forgotten since, less that of what
            altered rows have become.
        forgotten: n_u, how many those were, altered ones included.
    """

    weights: Tensor
    trained: int
    pull: Tensor
    forgotten: int = 0


class Sekhari(Method):
    """w* + H^{-1} (1 / n_r) sum_u grad l_u, with H on the retained rows at w* and no damping.

    Several requests are answered as if they were one: their gradients are added up and the step
    is taken from w* again, and Newton steps follow it where a bound is not within the experiment's
    Delta_0 yet, which the noise is for. The published bound, which follows from the numbers of
    rows alone, stands beside.
    """

    name = "sekhari"
    title = "Sekhari et al.'s Newton step"
    source = Source(
        paper="Sekhari, Acharya, Kamath, Suresh: Remember What You Want to Forget: Algorithms for "
        "Machine Unlearning (NeurIPS 2021)",
        url="https://arxiv.org/abs/2103.03279",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity"})
    answers_altered = True

    #: The linear solve stops at this residual, relative to its right-hand side.
    tolerance: float = Field(1e-6, gt=0, lt=1, examples=[0.3])
    max_products: int = Field(500, ge=1, examples=[2])

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        nothing = torch.zeros_like(original.weights)
        return replace(original, memory=Kept(original.weights, len(original.rows), nothing))

    def unlearn(self, request: Request) -> Release:
        problem, kept = request.problem, request.original.memory
        with request.clock.phase("gradient"):
            if len(request.forget):
                forgotten = problem.gradient(kept.weights, request.forget_rows)
                kept = replace(
                    kept,
                    pull=kept.pull + len(request.forget) * forgotten,
                    forgotten=kept.forgotten + len(request.forget),
                )
            if len(request.altered):
                new = problem.gradient(kept.weights, request.altered_rows)
                kept = replace(kept, pull=kept.pull - len(request.altered) * new)
            hessian = problem.hessian_on(kept.weights, request.retain)
        with request.clock.phase("inverse_hessian"):
            step = self._solve(hessian, kept.pull / len(request.retain))
        with request.clock.phase("gradient"):
            stepped = project(kept.weights + step.x, problem.training.radius)
            start = Point.at(request, stepped, number=int(len(request.forget) > 0))
        reached = within_distance(
            request, start, lambda at: self._solve(at.hessian, at.gradient).x, own=1
        )
        published = published_bounds(problem, kept.trained, kept.forgotten, step.residual)
        if kept.forgotten > kept.trained - len(request.retain) and not counts_altered(problem):
            published = []
        return request.release(
            reached.point.weights, uniform_claim(request, reached, others=published), kept
        )

    def _solve(self, hessian: Differentiated, b: Tensor) -> Solution:
        return conjugate_gradients(
            hessian, b, tolerance=self.tolerance, max_products=self.max_products
        )

"""Certified unlearning by corrections that are collected while training."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field
from torch import Tensor, isin

from benchmark.claims.recollection import recollection_claim
from benchmark.claims.spectra import head_constants
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.training.recollect import recollect
from benchmark.theory.contraction import check_step


@dataclass(frozen=True)
class Kept:
    """What training leaves for every later request.

    Attributes:
        start, weights: w_0 and w_T, (d,).
        rows: (n,) sorted indices that were trained on.
        corrections: (n, d), what forgetting each of them adds to w_T.
    """

    start: Tensor
    weights: Tensor
    rows: Tensor
    corrections: Tensor


class Recollection(Method):
    """While w <- w - eta g trains, a_j <- (I - eta H) a_j + (eta / n) grad l_j for every row j.

    A request adds the a_j of all rows that are gone by now. One batch holds all rows, the only case
    with a bound of use: retraining takes the same steps with the same divisor n, so the gradient it
    ends at is bounded, and Theorems 5 and 6 hold of the corrected weights. That bound is measured
    on the request, and so is the noise: a yardstick. The bound that follows the recursion, for any
    batches, is above that of doing nothing (docs/theory/noisy-training.md).
    """

    name = "recollection"
    title = "Hessian-free recollection"
    source = Source(
        paper="Qiao, Zhang, Tang, Wei: Hessian-Free Online Certified Unlearning (ICLR 2025)",
        url="https://arxiv.org/abs/2404.01712",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity"})

    #: T, of training.
    steps: int = Field(300, ge=1)
    #: eta; by default 2 / (L + mu), the longest that contracts.
    step_size: float | None = Field(None, gt=0, examples=[0.05])

    def train(self, problem: Problem, rows: Tensor, seeds: Seeds, clock: Clock) -> State:
        eta = self._eta(problem)
        start = problem.model.initial_weights(seeds.generator("training", self.name))
        start = start.to(problem.device, problem.dtype)
        with clock.phase("training"):
            weights, corrections = recollect(
                problem, start, problem.train.take(rows), steps=self.steps, step_size=eta
            )
        return State(weights, rows, Kept(start, weights, rows, corrections))

    def unlearn(self, request: Request) -> Release:
        kept: Kept = request.original.memory
        with request.clock.phase("correction"):
            gone = ~isin(kept.rows, request.retain)
            correction = kept.corrections[gone].to(kept.weights.dtype).sum(dim=0)
        with request.clock.phase("certificate"):
            claim = recollection_claim(
                request,
                start=kept.start,
                trained=kept.weights,
                corrected=kept.weights + correction,
                steps=self.steps,
                step_size=self._eta(request.problem),
            )
        return request.release(kept.weights + correction, claim, kept)

    def _eta(self, problem: Problem) -> float:
        """The step size, checked."""
        if problem.strong_convexity is None:
            raise AssumptionBroken("recollection is proved of a linear model with a ridge alone")
        head = head_constants(problem)
        mu, lipschitz = head.strong_convexity, head.gradient_lipschitz
        eta = 2 / (lipschitz + mu) if self.step_size is None else self.step_size
        check_step(eta, mu, lipschitz)
        return eta

"""Certified unlearning by noise on the projected weights, and fine-tuning."""

from __future__ import annotations

from pydantic import Field

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request
from benchmark.problem.convex import project
from benchmark.problem.training.descent import descend
from benchmark.theory.gaussian import m_for


class OutputPerturbation(Method):
    """Proj_C0(w*) + N(0, sigma^2 I), then fine-tuning without noise on the retained rows.

    Two projected models are at most 2 C0 apart, whatever they were trained on. It is the control
    that noisy fine-tuning must beat: all of its noise at once, and no step under noise.
    """

    name = "output-perturbation"
    title = "Output perturbation"
    source = Source(
        paper="Koloskova, Allouah, Jha, Guerraoui, Koyejo: Certified Unlearning for Neural "
        "Networks (ICML 2025)",
        url="https://arxiv.org/abs/2506.06985",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain"})

    #: C0, of the ball that the original is projected onto.
    radius: float = Field(0.02, gt=0)
    #: Passes over the retained rows.
    epochs: int = Field(15, ge=0)
    batch: int = Field(64, ge=1, examples=[16])
    #: Of the fine-tuning, by Adam.
    learning_rate: float = Field(1e-2, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem = request.problem
        m = m_for(request.target.epsilon, request.target.delta)
        sigma = 2 * self.radius / m
        with request.clock.phase("perturbation"):
            projected = project(request.original.weights, self.radius)
            noised = projected + request.noise(projected, sigma)
        with request.clock.phase("fine_tuning"):
            weights = descend(
                problem.loss,
                noised,
                request.retain_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        claim = algorithmic_claim(
            request,
            "reference",
            Gaussian(m=m),
            "output-perturbation",
            sigma=sigma,
            steps=1,
            settings={"radius": self.radius},
        )
        return request.release(weights, claim, noisy=NoisyStep(projected, noised, sigma))

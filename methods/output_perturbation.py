"""Certified unlearning by noise on the projected weights, and fine-tuning."""

from __future__ import annotations

from pydantic import Field

from benchmark.certify.gaussian import m_for
from benchmark.certify.inside import inside_certificate
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.ball import project
from benchmark.problem.training.descent import descend


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
    certifies = True
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
            weights = projected + request.noise(projected, sigma)
        with request.clock.phase("fine_tuning"):
            weights = descend(
                problem.loss,
                weights,
                request.retain_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        certificate = inside_certificate(
            request.target,
            "Gaussian mechanism on the projected weights, Delta = 2 C0",
            m=m,
            sigma=sigma,
            constants={"radius": self.radius},
        )
        return request.release(weights, certificate)

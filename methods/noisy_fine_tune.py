"""Certified noisy fine-tuning with clipped gradients."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request
from benchmark.problem.convex import project
from benchmark.problem.training.descent import descend
from benchmark.problem.training.noisy import epochs_left, noisy_descent
from benchmark.rows import Rows
from benchmark.theory.gaussian import m_for
from benchmark.theory.noisy_descent import gradient_clipping_m


class NoisyFineTune(Method):
    """x <- x - eta (clip_C1(gradient) + lambda x) + N(0, sigma^2 I) on the retained rows, T times.

    From x_0 = Proj_C0(w*). Fine-tuning without noise follows, for the rest of the epochs: it looks
    at what is certified already and at retained rows alone. Nothing is assumed of the loss.
    """

    name = "noisy-fine-tune"
    title = "Noisy fine-tuning, clipped gradients"
    source = Source(
        paper="Koloskova, Allouah, Jha, Guerraoui, Koyejo: Certified Unlearning for Neural "
        "Networks (ICML 2025)",
        url="https://arxiv.org/abs/2506.06985",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain"})

    #: C0, of the ball that the original is projected onto.
    radius: float = Field(0.5, ge=0)
    #: C1, the norm that every step's gradient is clipped to.
    clip: float = Field(0.01, ge=0)
    #: T, eta and lambda of the noisy steps; 1 - eta lambda must lie in [0, 1].
    steps: int = Field(12, ge=1)
    step_size: float = Field(0.3, gt=0)
    weight_decay: float = Field(1.0, ge=0)
    #: Passes over the retained rows in all, with noise and without.
    epochs: int = Field(15, ge=1)
    batch: int = Field(64, ge=1, examples=[16])
    #: Of the fine-tuning, by Adam.
    learning_rate: float = Field(1e-2, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, rows = request.problem, request.retain_rows
        settings = {
            "radius": self.radius,
            "step_size": self.step_size,
            "weight_decay": self.weight_decay,
            "steps": self.steps,
        }
        m = m_for(request.target.epsilon, request.target.delta)
        sigma = gradient_clipping_m(clip=self.clip, sigma=1.0, **settings) / m
        left = epochs_left(self.epochs, len(rows), steps=self.steps, batch=self.batch)
        draws = request.generator("training", self.name)

        def step(w: Tensor, part: Rows) -> Tensor:
            gradient = project(problem.gradient(w, part), self.clip)
            return w - self.step_size * (gradient + self.weight_decay * w)

        with request.clock.phase("noisy_descent"):
            start = project(request.original.weights, self.radius)
            noised, centre = noisy_descent(
                start,
                rows,
                step,
                lambda t: request.noise(start, sigma, t),
                draws,
                steps=self.steps,
                batch=self.batch,
            )
        with request.clock.phase("fine_tuning"):
            weights = descend(
                problem.loss,
                noised,
                rows,
                draws,
                epochs=left,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        claim = algorithmic_claim(
            request,
            "reference",
            Gaussian(m=m),
            "clipped-gradients",
            sigma=sigma,
            steps=self.steps,
            settings={k: v for k, v in settings.items() if k != "steps"}
            | {"gradient_clip": self.clip},
        )
        return request.release(weights, claim, noisy=NoisyStep(centre, noised, sigma))

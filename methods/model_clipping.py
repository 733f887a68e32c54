"""Certified noisy fine-tuning with clipped weights."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.guarantee import Curve
from benchmark.contract.method import Method, Source
from benchmark.contract.request import NoisyStep, Release, Request
from benchmark.problem.convex import project
from benchmark.problem.training.descent import descend
from benchmark.problem.training.noisy import epochs_left, noisy_descent
from benchmark.rows import Rows
from benchmark.theory.noisy_descent import model_clipping_m, model_clipping_steps


class ModelClipping(Method):
    """x <- Proj_C2(x - eta (gradient + lambda x)) + N(0, sigma^2 I) on the retained rows.

    From x_0 = w*, as many steps as delta needs. Fine-tuning without noise follows, for the rest of
    the epochs. Nothing is assumed of the loss, nor of the steps before the projection.
    """

    name = "model-clipping"
    title = "Noisy fine-tuning, clipped weights"
    source = Source(
        paper="Koloskova, Allouah, Jha, Guerraoui, Koyejo: Certified Unlearning for Neural "
        "Networks (ICML 2025)",
        url="https://arxiv.org/abs/2506.06985",
    )
    evidence = "algorithm"
    control = True
    needs = frozenset({"retain"})

    #: C2, of the ball that the weights of every step are projected onto.
    radius: float = Field(0.1, gt=0, examples=[0.05])
    #: Noise per coordinate and step; the larger, the fewer steps.
    sigma: float = Field(0.1, gt=0)
    step_size: float = Field(0.1, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    #: Passes over the retained rows in all, with noise and without.
    epochs: int = Field(15, ge=1)
    batch: int = Field(64, ge=1, examples=[16])
    #: Of the fine-tuning, by Adam.
    learning_rate: float = Field(1e-2, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, rows, target = request.problem, request.retain_rows, request.target
        steps = model_clipping_steps(
            epsilon=target.epsilon, delta=target.delta, radius=self.radius, sigma=self.sigma
        )
        left = epochs_left(self.epochs, len(rows), steps=steps, batch=self.batch)
        draws = request.generator("training", self.name)

        def step(w: Tensor, part: Rows) -> Tensor:
            direction = problem.gradient(w, part) + self.weight_decay * w
            return project(w - self.step_size * direction, self.radius)

        with request.clock.phase("noisy_descent"):
            start = request.original.weights
            noised, centre = noisy_descent(
                start,
                rows,
                step,
                lambda t: request.noise(start, self.sigma, t),
                draws,
                steps=steps,
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
        with request.clock.phase("certificate"):
            m = model_clipping_m(radius=self.radius, steps=steps, sigma=self.sigma)
            claim = algorithmic_claim(
                request,
                "reference",
                Curve(points=((target.epsilon, target.delta),), m=m),
                "clipped-weights",
                sigma=self.sigma,
                steps=steps,
                settings={"model_clip": self.radius},
            )
        return request.release(weights, claim, noisy=NoisyStep(centre, noised, self.sigma))

"""Certified noisy fine-tuning within the convex set of a property."""

from __future__ import annotations

from torch import Tensor

from benchmark.claims.algorithmic import algorithmic_claim
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.request import NoisyStep, Release, Request
from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import project
from benchmark.problem.training.descent import descend
from benchmark.problem.training.noisy import epochs_left, noisy_descent
from benchmark.rows import Rows
from benchmark.theory.gaussian import m_for
from benchmark.theory.noisy_descent import gradient_clipping_m
from methods.noisy_fine_tune import NoisyFineTune


class NoisyFineTuneWithin(NoisyFineTune):
    """x <- P_K(x - eta (clip_C1(gradient) + lambda x)) + N(0, sigma^2 I) on the retained rows.

    P_K brings no two states further apart, so the accounting is that without it. Fine-tuning
    follows, projected in every step, which is post-processing.
    """

    name = "noisy-fine-tune-within"
    title = "Noisy fine-tuning, projected in every step"
    needs = frozenset({"retain", "constraint"})

    def unlearn(self, request: Request) -> Release:
        problem, rows = request.problem, request.retain_rows
        if not problem.constrained:
            raise AssumptionBroken(f"{self.name} is for training within the set of a property")
        within = problem.training.radius
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
            return within.project(w - self.step_size * (gradient + self.weight_decay * w))

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
                within.project(noised),
                rows,
                draws,
                epochs=left,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=within,
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

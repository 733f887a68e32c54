"""CF-k: catastrophic forgetting of the last k layers."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend
from benchmark.problem.variants import last_layers, restricted


class CatastrophicForgetting(Method):
    """Fine-tune the last k layers on the retained rows; the layers before them stay."""

    name = "cf-k"
    title = "Catastrophic forgetting, last k layers"
    source = Source(
        paper="Goel, Prabhu, Sanyal, Lim, Torr, Kumaraguru: Towards Adversarial Evaluations for "
        "Inexact Machine Unlearning (2022)",
        url="https://arxiv.org/abs/2201.06640",
    )
    needs = frozenset({"retain"})
    search: ClassVar = {
        "layers": (1, 2, 3),
        "epochs": (2, 5, 10, 20),
        "learning_rate": (3e-4, 1e-3, 3e-3, 1e-2),
    }

    #: k.
    layers: int = Field(1, ge=1)
    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        free = last_layers(problem.model, self.layers).to(weights.device)
        part = restricted(problem, weights, free)
        with request.clock.phase("descent"):
            learned = descend(
                part.loss,
                weights[free],
                request.retain_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=part.training.radius,
            )
        return request.release(part.model.whole(learned))

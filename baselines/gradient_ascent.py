"""Gradient ascent on what is to be forgotten."""

from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend


class GradientAscent(Method):
    """Raise the loss on the forgotten rows, without their ridge and without a look at the rest."""

    name = "gradient-ascent"
    title = "Gradient ascent"
    source = Source(
        paper="Graves, Nagisetty, Ganesh: Amnesiac Machine Learning (AAAI 2021)",
        url="https://arxiv.org/abs/2010.10981",
    )
    needs = frozenset({"forget"})

    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem = request.problem
        with request.clock.phase("ascent"):
            weights = descend(
                lambda w, rows: -problem.data_loss(w, rows),
                request.original.weights,
                request.forget_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)

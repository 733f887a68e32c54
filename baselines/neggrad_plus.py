"""NegGrad+: descent on what is kept and ascent on what is forgotten, at once."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend, endless
from benchmark.rows import Rows


class NegGradPlus(Method):
    """Minimise alpha L(retained) - (1 - alpha) L(forgotten), a batch of each at every step.

    With alpha = 1 it is fine-tuning. The ridge belongs to the retained rows' objective alone.
    """

    name = "neggrad-plus"
    title = "NegGrad+"
    source = Source(
        paper="Kurmanji, Triantafillou, Hayes, Triantafillou: Towards Unbounded Machine "
        "Unlearning (NeurIPS 2023)",
        url="https://arxiv.org/abs/2302.09880",
    )
    search: ClassVar = {
        "alpha": (0.9, 0.95, 0.99, 0.999),
        "epochs": (2, 5, 10),
        "learning_rate": (3e-4, 1e-3, 3e-3),
    }

    alpha: float = Field(0.95, gt=0, le=1, examples=[0.8])
    #: Passes over the retained rows.
    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem = request.problem
        forget = endless(
            request.forget_rows, self.batch, request.generator("training", self.name, "forget")
        )

        def loss(w: Tensor, retain: Rows) -> Tensor:
            kept, forgotten = problem.loss(w, retain), problem.data_loss(w, next(forget))
            return self.alpha * kept - (1 - self.alpha) * forgotten

        with request.clock.phase("descent"):
            weights = descend(
                loss,
                request.original.weights,
                request.retain_rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)

"""SCRUB: a student that disobeys its teacher on what is forgotten."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend, taught, teacher_kl
from benchmark.rows import Rows


class Scrub(Method):
    """Raise KL(original || student) on the forgotten rows, lower it on the retained ones, in turn.

    An epoch on the retained rows minimises alpha KL + gamma L. After `max_epochs` on the forgotten
    ones it goes on alone (algorithm 1 of the paper). Each epoch has an Adam of its own.
    """

    name = "scrub"
    title = "SCRUB"
    source = Source(
        paper="Kurmanji, Triantafillou, Hayes, Triantafillou: Towards Unbounded Machine "
        "Unlearning (NeurIPS 2023)",
        url="https://arxiv.org/abs/2302.09880",
    )
    search: ClassVar = {
        "epochs": (5, 10),
        "max_epochs": (2, 4),
        "forget_batch": (4, 16, 64),
        "learning_rate": (3e-4, 1e-3, 3e-3),
    }

    #: Of KL and of the objective, on the retained rows.
    alpha: float = Field(0.5, ge=0)
    gamma: float = Field(1.0, ge=0)
    temperature: float = Field(4.0, gt=0)
    epochs: int = Field(6, ge=1)
    max_epochs: int = Field(4, ge=0)
    batch: int = Field(128, ge=1, examples=[2])
    forget_batch: int = Field(16, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        retain, forget = request.retain_rows, request.forget_rows
        draws = request.generator("training", self.name)

        def kl(w: Tensor, rows: Rows) -> Tensor:
            answers = taught(problem.model, request.original.weights, rows, self.temperature)
            return teacher_kl(problem.model, w, answers, self.temperature)

        def keep(w: Tensor, rows: Rows) -> Tensor:
            return self.alpha * kl(w, rows) + self.gamma * problem.loss(w, rows)

        for epoch in range(self.epochs):
            stages = [("retain", keep, retain, self.batch)]
            if epoch < self.max_epochs:
                stages.insert(0, ("forget", lambda w, b: -kl(w, b), forget, self.forget_batch))
            for name, loss, rows, batch in stages:
                with request.clock.phase(name):
                    weights = descend(
                        loss,
                        weights,
                        rows,
                        draws,
                        epochs=1,
                        batch=batch,
                        learning_rate=self.learning_rate,
                        radius=problem.training.radius,
                    )
        return request.release(weights)

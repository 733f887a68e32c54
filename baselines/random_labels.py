"""Random labels: fine-tuning with wrong labels on what is forgotten."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend
from benchmark.rows import Rows


class RandomLabels(Method):
    """Train on, with the forgotten rows relabelled uniformly at random among the wrong classes."""

    name = "random-labels"
    title = "Random labels"
    source = Source(
        paper="Graves, Nagisetty, Ganesh: Amnesiac Machine Learning (AAAI 2021)",
        url="https://arxiv.org/abs/2010.10981",
    )
    search: ClassVar = {
        "epochs": (1, 2, 5, 10),
        "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3),
    }

    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem = request.problem
        with request.clock.phase("descent"):
            weights = descend(
                problem.loss,
                request.original.weights,
                relabelled(request, request.generator("training", self.name, "labels")),
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)


def relabelled(request: Request, generator: torch.Generator) -> Rows:
    """All rows of the original, those to forget with one of the wrong labels, uniformly."""
    retain, forget = request.retain_rows, request.forget_rows
    classes = request.problem.model.classes
    shift = torch.randint(1, classes, (len(forget),), generator=generator)
    wrong = (forget.y + shift.to(forget.y.device)) % classes
    return Rows(torch.cat([retain.x, forget.x]), torch.cat([retain.y, wrong]))

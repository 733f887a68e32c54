"""Fine-tuning towards a sparse model."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.problem.training.descent import descend
from benchmark.rows import Rows


class L1Sparse(Method):
    """Minimise L(w) + gamma_t ||w||_1 on the retained rows, gamma_t falling linearly to 0."""

    name = "l1-sparse"
    title = "l1-sparse fine-tuning"
    source = Source(
        paper="Jia, Liu, Ram, Yao, Liu, Liu, Sharma, Liu: Model Sparsity Can Simplify Machine "
        "Unlearning (NeurIPS 2023)",
        url="https://arxiv.org/abs/2304.04934",
    )
    needs = frozenset({"retain"})
    search: ClassVar = {
        "gamma": (1e-4, 3e-4, 1e-3, 3e-3),
        "epochs": (5, 10, 20),
        "learning_rate": (3e-4, 1e-3, 3e-3),
    }

    #: Of the first step.
    gamma: float = Field(5e-4, ge=0)
    epochs: int = Field(5, ge=1)
    batch: int = Field(128, ge=1, examples=[2])
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, rows = request.problem, request.retain_rows
        steps = self.epochs * math.ceil(len(rows) / self.batch)
        gammas = iter(torch.linspace(self.gamma, 0, steps).tolist())

        def loss(w: Tensor, part: Rows) -> Tensor:
            gamma = next(gammas, 0.0)  # a batch that is taken in halves uses up more of them
            return problem.loss(w, part) + gamma * w.abs().sum()

        with request.clock.phase("descent"):
            weights = descend(
                loss,
                request.original.weights,
                rows,
                request.generator("training", self.name),
                epochs=self.epochs,
                batch=self.batch,
                learning_rate=self.learning_rate,
                radius=problem.training.radius,
            )
        return request.release(weights)

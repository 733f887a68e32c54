"""Minibatch training for nets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.problem.rows import Rows
from benchmark.problem.training.descent import descend

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem


class AdamTraining(BaseModel):
    """Adam for a fixed number of epochs, projected onto ||w|| <= radius after every step.

    The projection is part of the training algorithm, which makes 2 * radius an exact bound on
    the distance of any two trained models (Zhang et al. 2024).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["adam"]
    epochs: int = Field(30, ge=1)
    batch: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    radius: float | None = Field(None, gt=0)

    @property
    def gradient_bound(self) -> None:
        """Training ends after its epochs, whatever the gradient is."""

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) after `effort` times the epochs, at least one."""
        return descend(
            problem.loss,
            start,
            rows,
            generator,
            epochs=max(1, round(effort * self.epochs)),
            batch=self.batch,
            learning_rate=self.learning_rate,
            radius=self.radius,
        )

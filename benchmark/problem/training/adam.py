"""Minibatch training for nets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.errors import DidNotConverge
from benchmark.problem.ball import ball_residual
from benchmark.problem.rows import Rows
from benchmark.problem.training.descent import descend

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem


class AdamTraining(BaseModel):
    """Adam, projected onto ||w|| <= radius after every step.

    The projection is part of the training algorithm, which makes 2 * radius an exact bound on
    the distance of any two trained models (Zhang et al. 2024). It runs for `epochs`. With a
    `gradient_tolerance` it then goes on, epoch by epoch, until the gradient of the whole
    objective (its residual in the ball, see `benchmark.problem.ball`) has that norm or less;
    missing that within `max_epochs` is an error, so that a certificate may rely on it. Where the
    ball is active it will be missed: Adam's rescaled gradient has other fixed points there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["adam"]
    epochs: int = Field(30, ge=1)
    batch: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    radius: float | None = Field(None, gt=0)
    gradient_tolerance: float | None = Field(None, gt=0)
    max_epochs: int = Field(1000, ge=1)

    @property
    def gradient_bound(self) -> float | None:
        """G: the gradient norm that training guarantees; None where it ends by the clock."""
        return self.gradient_tolerance

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) after `effort` times the epochs, at least one.

        Raises:
            DidNotConverge: if there is a gradient tolerance and `max_epochs` do not reach it.
        """
        epochs = max(1, round(effort * self.epochs))
        goal = self.gradient_tolerance

        def stationary(weights: Tensor, epoch: int) -> bool:
            return epoch >= epochs and self._residual(problem, weights, rows) <= goal

        weights = descend(
            problem.loss,
            start,
            rows,
            generator,
            epochs=epochs if goal is None else max(epochs, self.max_epochs),
            batch=self.batch,
            learning_rate=self.learning_rate,
            radius=self.radius,
            finished=None if goal is None else stationary,
        )
        if goal is not None and (reached := self._residual(problem, weights, rows)) > goal:
            raise DidNotConverge(
                f"training stopped at gradient norm {reached:.3g}, above its tolerance "
                f"{goal:.3g}: raise max_epochs or gradient_tolerance"
            )
        return weights

    def _residual(self, problem: Problem, weights: Tensor, rows: Rows) -> float:
        return ball_residual(weights, problem.gradient(weights, rows), self.radius)

"""Minibatch training for nets, on rows that may be augmented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from benchmark.errors import DidNotConverge, present
from benchmark.problem.convex import ball_residual
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.models.spec import image
from benchmark.problem.problem import Problem
from benchmark.problem.risk import Risk
from benchmark.problem.training.descent import Schedule, descend
from benchmark.rows import Rows

Augmentation = Literal["crop", "crop-flip"]

PADDING = 4


def augmented(rows: Rows, kind: Augmentation, shape: Shape, generator: torch.Generator) -> Rows:
    """`rows` with every image cropped at random out of its padding by 4 zeros on each side.

    Args:
        rows: flat images (n, height * width * channels).
        kind: `crop-flip` flips every second image or so left to right as well.
        shape: height, width and channels of an image.
        generator: draws.
    """
    n, (height, width, _) = len(rows), shape
    images = rows.x.unflatten(1, shape).movedim(-1, 1)
    corners = torch.randint(2 * PADDING + 1, (2, n), generator=generator).to(images.device)
    windows = F.pad(images, 4 * [PADDING]).unfold(2, height, 1).unfold(3, width, 1)
    images = windows[torch.arange(n, device=images.device), :, corners[0], corners[1]]
    if kind == "crop-flip":
        flip = torch.rand(n, generator=generator).to(images.device) < 0.5
        images = torch.where(flip.view(n, 1, 1, 1), images.flip(-1), images)
    return Rows(images.movedim(1, -1).flatten(1), rows.y)


# Minibatch training for nets.


def optional() -> Any:
    """A field that is None unless it is set, and is written only then."""
    return Field(None, exclude_if=lambda value: value is None)


class AdamTraining(BaseModel):
    """Adam, projected onto ||w|| <= radius after every step.

    The projection is part of the training algorithm, which makes 2 * radius an exact bound on
    the distance of any two trained models (Zhang et al. 2024). It runs for `epochs`. With a
    `gradient_tolerance` it then goes on, epoch by epoch, until the gradient of the whole
    objective (its residual in the ball, see `benchmark.problem.convex`) has that norm or less;
    missing that within `max_epochs` is an error, so that a certificate may rely on it. Where the
    ball is active it will be missed: Adam's rescaled gradient has other fixed points there.

    With BatchNorm the loss of a batch is that of the net normalised by the batch's own statistics,
    and the ridge is on all weights but the statistics, which stay at their start. One pass over
    the rows, as they are and in batches, sets them at the end.

    Attributes:
        schedule: of the learning rate, whose highest value is `learning_rate`; constant if None.
            It ends with the epochs, and a `gradient_tolerance` must be met by then.
        augment: how images change every time they are trained on; they do not if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["adam"]
    epochs: int = Field(30, ge=1)
    batch: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    radius: float | None = Field(None, gt=0)
    gradient_tolerance: float | None = Field(None, gt=0)
    max_epochs: int = Field(1000, ge=1)
    # left out of the keys of records where they are not set
    schedule: Schedule | None = optional()
    augment: Augmentation | None = optional()

    @field_validator("schedule", "augment", "radius", mode="before")
    @classmethod
    def _unset(cls, value: Any) -> Any:
        """`none` unsets what a profile would take over from its file: TOML has no null."""
        return None if value == "none" else value

    @property
    def gradient_bound(self) -> float | None:
        """G: the gradient norm that training guarantees; None where it ends by the clock."""
        return self.gradient_tolerance

    def check(self, risk: Risk) -> None:
        """See `benchmark.problem.risk.Training`; nothing is refused."""

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
            DidNotConverge: if there is a gradient tolerance and it is not reached in time.
        """
        epochs = last = max(1, round(effort * self.epochs))
        goal = self.gradient_tolerance
        if goal is not None and self.schedule is None:
            last = max(epochs, self.max_epochs)

        def stationary(weights: Tensor, epoch: int) -> bool:
            return epoch >= epochs and self._residual(problem, weights, rows) <= present(goal)

        weights = descend(
            self._loss(problem, generator),
            start,
            rows,
            generator,
            epochs=last,
            batch=self.batch,
            learning_rate=self.learning_rate,
            radius=self.radius,
            schedule=self.schedule,
            finished=None if goal is None else stationary,
        )
        if goal is not None and (reached := self._residual(problem, weights, rows)) > goal:
            raise DidNotConverge(
                f"training stopped at gradient norm {reached:.3g}, above its tolerance "
                f"{goal:.3g}: raise {'epochs' if self.schedule else 'max_epochs'} or "
                "gradient_tolerance"
            )
        return problem.model.with_statistics(weights, rows.x, self.batch)

    def _loss(
        self, problem: Problem, generator: torch.Generator
    ) -> Callable[[Tensor, Rows], Tensor]:
        """The objective as training sees it: of augmented rows; on a GPU convolved in bfloat16."""
        half = problem.device.type == "cuda" and problem.model.spec.convolves

        def loss(weights: Tensor, rows: Rows) -> Tensor:
            if self.augment is not None:
                rows = augmented(rows, self.augment, image(problem.model.inputs), generator)
            with torch.autocast("cuda", torch.bfloat16, enabled=half):
                logits = problem.model.in_training(weights, rows.x)
                data_loss = problem.objective.data_term(logits, rows.y)
            total = data_loss + problem.penalty(weights)
            return total if problem.extra is None else total + problem.extra(weights, rows)

        return loss

    def _residual(self, problem: Problem, weights: Tensor, rows: Rows) -> float:
        return ball_residual(weights, problem.gradient(weights, rows), self.radius)

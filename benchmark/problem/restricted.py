"""A problem in some of the weights, the others held fixed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmark.errors import AssumptionBroken
from benchmark.problem.model import Inputs, Model
from benchmark.problem.problem import Problem
from benchmark.problem.training import DirectTraining, NewtonTraining


@dataclass(frozen=True)
class AnyNet:
    """In place of a model's spec: nothing is known that a closed form could use."""

    linear: bool = False
    smooth: bool = False
    sees_images: bool = False
    convolves: bool = False
    widths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class RestrictedModel:
    """A model as a function of its free weights (k,).

    Attributes:
        model: of all weights (d,).
        weights: (d,), of which those that are not free stay.
        free: (d,) bool.
    """

    model: Model
    weights: Tensor
    free: Tensor
    spec: AnyNet = AnyNet()
    tangent: None = None

    @property
    def inputs(self) -> Inputs:
        return self.model.inputs

    @property
    def chunk(self) -> int | None:
        return self.model.chunk

    @property
    def smallest_chunk(self) -> int:
        return self.model.smallest_chunk

    def __call__(self, part: Tensor, x: Tensor) -> Tensor:
        """Logits (n, classes) for `part` (k,) and `x` (n, ...)."""
        return self.model(self.whole(part), x)

    def in_training(self, part: Tensor, x: Tensor) -> Tensor:
        """The same: BatchNorm's statistics are not free, they stay those of all weights."""
        return self(part, x)

    @property
    def statistics(self) -> Tensor | None:
        """(k,) bool: which free weights are statistics, that a choice of weights took along."""
        statistics = self.model.statistics
        return None if statistics is None else statistics[self.free.cpu()]

    def with_statistics(self, part: Tensor, x: Tensor, batch: int) -> Tensor:
        """`part` (k,) as it is."""
        return part

    def without_statistics(self, part: Tensor) -> Tensor:
        """`part` (k,) with zeros for statistics."""
        if self.statistics is None:
            return part
        return part.masked_fill(self.statistics.to(part.device), 0)

    def whole(self, part: Tensor) -> Tensor:
        """(d,): the free weights from `part` (k,), the others bit for bit as they were."""
        return self.weights.masked_scatter(self.free, part)


def restricted(problem: Problem, weights: Tensor, free: Tensor) -> Problem:
    """The same data, objective and training, as a problem in the weights that are `free`.

    The ridge of the fixed weights is a constant and left out. The ball of the whole problem cuts
    the plane of the free weights in a smaller one, which the training then projects onto. A direct
    solve is one for all weights: for some of them Newton-CG goes to the same tolerance.

    Args:
        problem: in all weights (d,).
        weights: (d,), where the others are fixed; in the ball, if there is one.
        free: (d,) bool.
    """
    training = problem.training
    if problem.constrained:
        raise AssumptionBroken(
            "training is within the convex set of a property, and this method steps in some of the "
            "weights alone: leave it out where property.enforce = 'training'"
        )
    if training.radius is not None:
        fixed = float(weights[~free].norm())
        room = math.sqrt(max(0.0, training.radius**2 - fixed**2))
        training = training.model_copy(update={"radius": room})
    if isinstance(training, DirectTraining):
        training = NewtonTraining(tolerance=training.tolerance)
    model: Any = RestrictedModel(problem.model, weights, free)  # what a problem asks of its model
    return replace(problem, model=model, training=training)


def last_layers(model: Model, k: int) -> Tensor:
    """(d,) bool on the CPU: the weights of the last `k` layers, or of all if there are fewer.

    BatchNorm's statistics are left out: only a training of the whole net sets them.
    """
    free = torch.zeros(model.dimension, dtype=torch.bool)
    free[model.layers[-k:][0].start :] = True
    return free if model.statistics is None else free & ~model.statistics

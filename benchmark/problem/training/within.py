"""Training of a head within a cone of weights, to a tolerance."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from benchmark.problem.cone import cone_path
from benchmark.problem.convex import Ordered
from benchmark.problem.rows import Rows
from benchmark.problem.training.converging import Converging

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem


class ConeTraining(Converging):
    """Newton's method over the cone, each step with a line search, in place of Newton-CG.

    The gradient does not vanish where it ends. What is held to `tolerance` is the residual of the
    variational inequality, and no theorem that takes the gradient for it may rely on this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    algorithm: Literal["cone-newton"] = "cone-newton"
    tolerance: float = Field(gt=0)
    max_steps: int = Field(100, ge=1)
    within: Ordered = Field(exclude=True)

    @property
    def gradient_bound(self) -> None:
        """None: the gradient has no bound."""

    @property
    def residual_bound(self) -> float:
        """G: the residual that training guarantees."""
        return self.tolerance

    @property
    def radius(self) -> Ordered:
        """The cone, in a ball's place."""
        return self.within

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) in the cone whose residual is within the tolerance."""
        start = self.within.project(start)
        path = cone_path(problem, start, rows, tolerance=self.tolerance, steps=self.max_steps)
        return reduce(lambda _, later: later, path, start)

"""Training by one direct solve, for squared loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.curvature.normal_equations import matrix
from benchmark.errors import DidNotConverge
from benchmark.problem.problem import Problem
from benchmark.problem.risk import Risk
from benchmark.problem.rows import Rows
from benchmark.problem.sums import normal_equations, solved, squared_head
from benchmark.problem.training.converging import Converging


class DirectTraining(Converging):
    """The normal equations of a ridge regression, summed once and solved by one Cholesky factor.

    The weights are a function of the sums. Where these are exact, the weights are the same bytes
    whatever the order of the rows. The gradient that is left is held to `tolerance`.
    """

    algorithm: Literal["direct"] = "direct"
    tolerance: float = Field(1e-10, gt=0)

    def check(self, risk: Risk) -> None:
        """See `Training`.

        Raises:
            LetheError: for anything but the squared loss of a linear model in float64.
        """
        squared_head(risk)

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) of the minimiser on `rows`, wherever it starts.

        Raises:
            LetheError: for anything but the squared loss of a linear model in float64.
            DidNotConverge: if round-off leaves a gradient above the tolerance.
        """
        sums = normal_equations(problem, rows)
        if problem.tilt is not None:  # V (S + n ridge I) = B - n b
            tilt = matrix(problem.tilt, problem.model.classes)
            sums = replace(sums, moments=sums.moments - sums.rows * tilt)
        weights = solved(problem, sums)
        left = sums.residual(problem.objective.ridge, matrix(weights, problem.model.classes))
        norm = float(left.norm()) / sums.rows
        if not norm <= self.tolerance:
            raise DidNotConverge(
                f"the direct solve leaves a gradient of norm {norm:.3g}, above its tolerance "
                f"{self.tolerance:.3g}: raise the tolerance or the ridge"
            )
        return weights

"""From a problem with a squared loss to its normal equations, and to its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.normal_equations import NormalEquations, flat
from benchmark.errors import LetheError
from benchmark.problem.risk import Risk
from benchmark.problem.rows import Rows


def squared_head(problem: Risk) -> None:
    """Refuse what has no normal equations.

    Raises:
        LetheError: unless the objective is the squared loss of a linear model with a ridge, in
            float64.
    """
    objective = problem.objective
    if not (problem.model.spec.linear and objective.loss == "squared" and objective.ridge > 0):
        raise LetheError(
            "normal equations are those of squared loss: take a linear model, objective.loss = "
            "'squared' and a ridge above 0"
        )
    if problem.dtype != torch.float64:
        raise LetheError("sums of products in float32 lose what is forgotten: use float64")


def normal_equations(problem: Risk, rows: Rows) -> NormalEquations:
    """The sums over training `rows`; exact where features are declared to be in fixed point.

    Raises:
        LetheError: see `squared_head`.
        AssumptionBroken: if the rows are not in the form that is declared, or too many for it.
    """
    squared_head(problem)
    _ = problem.fixed_point  # checked, once a problem
    return NormalEquations.of(rows.x, rows.y, problem.model.classes)


def solved(problem: Risk, sums: NormalEquations) -> Tensor:
    """The minimiser's weights (d,), by one Cholesky factor: a function of the sums alone.

    Raises:
        AssumptionBroken: if the system is not positive definite in float64.
    """
    return flat(sums.factor(problem.objective.ridge).solve(sums.moments))

"""The number of rows, where noise depends on it: declared, so that it is the same on both sides."""

from __future__ import annotations

from benchmark.claims.bounds import constant
from benchmark.contract.claim import Constant
from benchmark.problem.problem import Problem


def rows_left(problem: Problem, trained: int, capacity: int) -> int:
    """A number of rows that a request for up to `capacity` of the `trained` ones leaves at least.

    The declared one, or without one what follows from the rows at hand.

    Raises:
        AssumptionBroken: if fewer rows are trained on than declared.
    """
    if problem.declared.rows_at_least is not None:
        return problem.rows_at_least(trained)
    return max(1, trained - capacity)


def rows_constant(problem: Problem, rows: int) -> Constant:
    """The number of rows as a constant: declared, or measured and so a function of the data."""
    declared = problem.declared.rows_at_least is not None
    return constant("rows", rows, "declared" if declared else "measured")

"""The linear system of a Newton step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from benchmark.curvature.hessian import Damped
from benchmark.problem.rows import Rows

if TYPE_CHECKING:
    from benchmark.problem.problem import Problem


@dataclass(frozen=True)
class System:
    """(hess L(w, rows) + damping I) x = b.

    Attributes:
        problem: whose objective is L.
        weights: w, (d,).
        rows: over which L is the mean.
        damping: lambda.
        b: (d,).
    """

    problem: Problem
    weights: Tensor
    rows: Rows
    damping: float
    b: Tensor

    @cached_property
    def operator(self) -> Damped:
        """The damped Hessian over all rows; built on first use, which costs about a gradient."""
        return Damped(self.problem.hessian(self.weights, self.rows), self.damping)

    @property
    def importance(self) -> Tensor | None:
        """How much each row has to do with the Hessian, (n,); None where that is not known."""
        return getattr(self.operator.operator, "importance", None)

    def part(self, rows: Rows, shares: Tensor | None = None) -> Damped:
        """The damped Hessian over other rows, for instance a sample of these.

        Args:
            rows: m of them.
            shares: (m,), what each counts, if `importance` is known; 1 / m by default.
        """
        if shares is None:
            return Damped(self.problem.hessian(self.weights, rows), self.damping)
        hessian = self.problem.weighted_hessian(self.weights, rows, shares)
        return Damped(hessian, self.damping)

    def residual(self, x: Tensor) -> float:
        """||b - A x|| / ||b|| for x (d,); b must not be zero."""
        return float((self.b - self.operator @ x).norm() / self.b.norm())

"""Training to convergence: Newton steps for convex problems, one direct solve for squared loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.curvature.kept_sums import NormalEquations, flat, matrix
from benchmark.curvature.krylov import conjugate_gradients
from benchmark.curvature.long_division import ExactSystem, Solve
from benchmark.curvature.symmetric import Pending
from benchmark.errors import AssumptionBroken, DidNotConverge, LetheError, present
from benchmark.problem.convex import ConvexSet
from benchmark.problem.problem import Problem
from benchmark.problem.risk import Risk
from benchmark.rows import Rows


class Converging(BaseModel, ABC):
    """A training without a norm constraint whose gradient is held to `tolerance`.

    Each derived class declares the field, with a default of its own, and `minimise`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float

    @property
    def gradient_bound(self) -> float | None:
        """G: the gradient norm that training guarantees; None where it guarantees none."""
        return self.tolerance

    @property
    def radius(self) -> ConvexSet | None:
        """No norm constraint."""
        return None

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
        """Weights (d,) by `minimise`: nothing is drawn, and `effort` is ignored."""
        return self.minimise(problem, start, rows)

    @abstractmethod
    def minimise(self, problem: Problem, start: Tensor, rows: Rows) -> Tensor:
        """Weights (d,) of the minimiser on `rows`, from `start` (d,) to the tolerance.

        Raises:
            DidNotConverge: if the tolerance is missed.
        """


# Training to convergence, for convex problems.


class NewtonTraining(Converging):
    """Newton-CG with backtracking (Nocedal & Wright 2006, algorithm 7.1), to a tolerance.

    It ends when the gradient of the whole objective has norm `tolerance` or less; missing that is
    an error, so that a certificate may rely on it.
    """

    algorithm: Literal["newton-cg"] = "newton-cg"
    tolerance: float = Field(1e-10, gt=0)
    max_steps: int = Field(100, ge=1)
    max_products: int = Field(500, ge=1)

    def minimise(self, problem: Problem, start: Tensor, rows: Rows) -> Tensor:
        """Weights (d,) with ||grad L(w, rows)|| <= tolerance: the end of the `path`."""
        return reduce(lambda _, later: later, self.path(problem, start, rows), start)

    def path(self, problem: Problem, start: Tensor, rows: Rows) -> Iterator[Tensor]:
        """The weights (d,) after each step from `start` (d,), none if it is within the tolerance.

        Raises:
            DidNotConverge: after `max_steps` steps, or when no step helps any more.
        """
        w = start
        for _ in range(self.max_steps):
            hessian = problem.hessian(w, rows)
            gradient, norm = hessian.gradient, float(hessian.gradient.norm())
            if norm <= self.tolerance:
                return
            forcing = min(0.5, norm**0.5)
            step = conjugate_gradients(
                hessian, gradient, tolerance=forcing, max_products=self.max_products
            ).x
            w = self._line_search(problem, rows, w, gradient, step)
            yield w
        norm = float(problem.gradient(w, rows).norm())
        if norm > self.tolerance:
            raise DidNotConverge(
                f"training stopped at gradient norm {norm:.3g}, above its tolerance "
                f"{self.tolerance:.3g}: raise max_steps or tolerance, or use float64"
            )

    def _line_search(
        self, problem: Problem, rows: Rows, w: Tensor, gradient: Tensor, step: Tensor
    ) -> Tensor:
        """The first of w - step, w - step/2, ... that lowers the loss enough.

        Near the optimum a decrease of the loss drowns in round-off; the gradient's does not, and
        decides where the loss is the same to round-off.
        """
        slope, norm = float(gradient.dot(step)), float(gradient.norm())
        with torch.no_grad():
            loss = float(problem.loss(w, rows))
        round_off = 100 * torch.finfo(w.dtype).eps * max(1.0, abs(loss))
        length = 1.0
        while length > 1e-6:
            candidate = w.sub(step, alpha=length)
            with torch.no_grad():
                change = float(problem.loss(candidate, rows)) - loss
            if change <= -1e-4 * length * slope:
                return candidate
            same = abs(change) <= round_off
            if same and float(problem.gradient(candidate, rows).norm()) <= 0.9 * norm:
                return candidate
            length /= 2
        raise DidNotConverge(
            f"training stalled at gradient norm {norm:.3g}, above its tolerance "
            f"{self.tolerance:.3g}: the tolerance may be below what the precision allows"
        )


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
        AssumptionBroken: if training is in a ball, which keeps it from their solution, or rows are
            not in the form that is declared, or too many for it.
    """
    squared_head(problem)
    if problem.training.radius is not None:
        raise AssumptionBroken("normal equations are of training without a ball: set no radius")
    _ = problem.fixed_point  # checked, once a problem
    return NormalEquations.of(rows.x, rows.y, problem.model.classes)


def solved(problem: Risk, sums: NormalEquations) -> Tensor:
    """The minimiser's weights (d,), by one Cholesky factor: a function of the sums alone.

    Raises:
        AssumptionBroken: if the system is not positive definite in float64, or next to not.
    """
    factor = sums.factor(problem.objective.ridge)
    if problem.fixed_point is None or problem.tilt is not None:
        return flat(factor.solve(sums.moments))
    weights = nearest(problem, sums, factor.solve)
    if weights is None:
        raise AssumptionBroken(
            "the normal equations are near to singular in float64, or a weight is half-way "
            "between two of its steps: raise the ridge"
        )
    return weights


def nearest(problem: Risk, sums: NormalEquations, solve: Solve) -> Tensor | None:
    """The weights (d,) in fixed point that are nearest to the minimiser, where sums are exact.

    `ExactSystem.nearest` says what its steps are.

    Args:
        problem: with features in fixed point.
        sums: over some rows.
        solve: about B (S + n ridge I)^-1 of a B (classes, m). The result does not depend on it.

    Returns:
        The weights; None where `solve` is too far off, or a weight half-way between two steps.

    Raises:
        AssumptionBroken: if the ridge is no number of units.
    """
    ridge = problem.objective.ridge
    form = present(problem.fixed_point)
    gram = sums.gram if isinstance(sums.gram, Pending) else Pending.of(sums.gram)
    system = ExactSystem.of(gram, sums.moments, form.unit, Fraction(ridge) * sums.rows)
    solution = system.nearest(solve)
    return None if solution is None else flat(solution)


class DirectTraining(Converging):
    """The normal equations of a ridge regression, summed once and solved by one Cholesky factor.

    The weights are a function of the sums. Where these are exact, they are the minimiser's to the
    nearest step of `nearest`: the same bytes whatever the order of the rows, the library and the
    machine. The gradient that is left is held to `tolerance`.
    """

    algorithm: Literal["direct"] = "direct"
    tolerance: float = Field(1e-10, gt=0)

    def check(self, risk: Risk) -> None:
        """See `Training`.

        Raises:
            LetheError: for anything but the squared loss of a linear model in float64.
        """
        squared_head(risk)

    def minimise(self, problem: Problem, start: Tensor, rows: Rows) -> Tensor:
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

"""An objective with a linear term (objective perturbation; Chaudhuri et al. 2011)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from benchmark.curvature.hessian import Differentiated
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows


@dataclass(frozen=True, kw_only=True)
class PerturbedProblem(Problem):
    """The same problem with L(w, S) + b.w for its objective; mu, L and M stay as they are.

    Attributes:
        perturbation: b (d,).
    """

    perturbation: Tensor

    @classmethod
    def of(cls, problem: Problem, perturbation: Tensor) -> PerturbedProblem:
        """`problem` with the term perturbation.w.

        Raises:
            AssumptionBroken: if it is not strongly convex: there may be no minimiser then.
        """
        if problem.strong_convexity is None:
            raise AssumptionBroken(
                "a perturbed objective needs strong convexity: a linear model and a ridge"
            )
        shared = {field.name: getattr(problem, field.name) for field in fields(problem)}
        return cls(**shared, perturbation=perturbation)

    @property
    def tilt(self) -> Tensor:
        """(d,) the perturbation b."""
        return self.perturbation

    def loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The whole objective with its linear term, a scalar."""
        return super().loss(weights, rows) + self.perturbation.dot(weights)

    def hessian(self, weights: Tensor, rows: Rows, **settings: Any) -> Differentiated:
        """The Hessian that a linear term leaves as it is, and the gradient with it."""
        hessian = super().hessian(weights, rows, **settings)
        return _Shifted(hessian, hessian.gradient + self.perturbation)


@dataclass(frozen=True)
class _Shifted:
    """A Hessian beside another gradient (d,)."""

    hessian: Differentiated
    gradient: Tensor

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self.hessian @ vector

"""Training to convergence, for convex problems."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.curvature.cg import conjugate_gradients
from benchmark.errors import DidNotConverge
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training.converging import Converging


class NewtonTraining(Converging):
    """Newton-CG with backtracking (Nocedal & Wright 2006, algorithm 7.1), to a tolerance.

    It ends when the gradient of the whole objective has norm `tolerance` or less; missing that is
    an error, so that a certificate may rely on it.
    """

    algorithm: Literal["newton-cg"] = "newton-cg"
    tolerance: float = Field(1e-10, gt=0)
    max_steps: int = Field(100, ge=1)
    max_products: int = Field(500, ge=1)

    def fit(
        self,
        problem: Problem,
        start: Tensor,
        rows: Rows,
        generator: torch.Generator,
        effort: float,
    ) -> Tensor:
        """Weights (d,) with ||grad L(w, rows)|| <= tolerance; see `minimise`."""
        return self.minimise(problem, start, rows)

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

"""Theorem 5 for squared loss by kept sums: a gradient, and what float64 may have lost of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.claims.bounds import Bound, constant, tolerance
from benchmark.problem.problem import Problem
from benchmark.theory.round_off import gradient_round_off, rounded_residual_bound


@dataclass(frozen=True)
class RoundOff:
    """What float64 may have lost of gradients that are computed from kept sums.

    Attributes:
        problem: strongly convex, with squared loss.
        rows: n, that the sums are over.
        lost: E, the error of the sums in rows; 0 where they are exact.
    """

    problem: Problem
    rows: int
    lost: float

    def charge(self, weight_norm: float) -> float:
        """A bound on the error of a gradient at weights of this norm."""
        return gradient_round_off(
            weight_norm=weight_norm,
            row_norm=self.problem.row_norm,
            strong_convexity=self.problem.strong_convexity,
            rows=self.rows,
            columns=self.problem.train.x.shape[1] + 1,
            lost=self.lost,
        )

    def bound(self, weights: Tensor, residual: Tensor) -> Bound:
        """On the distance to the retrained weights.

        Args:
            weights: (d,).
            residual: (classes, m), of the normal equations there, by one product with the sums.

        Raises:
            AssumptionBroken: if training is not held to a tolerance, or the ridge drowns in
                round-off.
        """
        mu, held = tolerance(self.problem)
        norm = float(torch.linalg.vector_norm(residual)) / self.rows
        charge = self.charge(float(torch.linalg.vector_norm(weights)))
        value = rounded_residual_bound(
            gradient_norm=norm,
            retrain_gradient=held,
            charge=charge,
            growth=self.charge(1.0) - self.charge(0.0),
            strong_convexity=mu,
        )
        rests_on = (
            constant("gradient_norm", norm, "measured"),
            constant("round_off", charge, "measured"),
            constant("training_gradient", held),
            constant("strong_convexity", mu),
        )
        return Bound("thm5-rounded", value, rests_on)

"""Theorem 7 for one-vs-rest regressions by kept sums, and what float64 may have lost of these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.claims.bounds import Bound, constant, diameter, tolerance
from benchmark.curvature.logistic_sums import LogisticSums
from benchmark.problem.problem import Problem
from benchmark.theory.round_off import (
    kept_residual_round_off,
    lost_after_downdate,
    lost_in_pass,
    lost_in_probability,
    lost_in_sums,
    lost_to_waiting,
    mean_gradient_round_off,
)
from benchmark.theory.strongly_convex import separable_bound, step_without_pass_bound

#: Covers the rounding of norms and of the formulas themselves.
_EVALUATION = 1 + 2.0**-20


@dataclass(frozen=True)
class KeptRoundOff:
    """What float64 may have lost of kept sums.

    Attributes:
        row_norm: R, no row is longer, its bias column included.
        columns: m, of a row with its bias column.
        strong_convexity: mu.
        declared: whether R is a public bound; else it is that of the rows at hand.
        lost: E, the error of the sums in rows.
    """

    row_norm: float
    columns: int
    strong_convexity: float
    declared: bool
    lost: float = 0.0

    def error(self, sums: LogisticSums) -> float:
        """A bound on the error of a probability at either of the points of the sums."""
        norm = max(_norm(sums.base), _norm(sums.bent))
        return lost_in_probability(columns=self.columns, row_norm=self.row_norm, weight_norm=norm)

    def summed(self, sums: LogisticSums) -> float:
        """E of sums that were just taken."""
        return lost_in_sums(sums.rows) + sums.rows * self.error(sums)

    def downdated(self, before: LogisticSums, forgotten: int) -> float:
        """E of the sums without some of the rows of `before`."""
        own = forgotten * self.error(before)
        return lost_after_downdate(self.lost, before.rows, forgotten) + own

    def passed(self, sums: LogisticSums, of: int) -> float:
        """E of sums whose gradient came from passes over `of` rows, the second derivatives not."""
        share = self.strong_convexity * _norm(sums.base) / self.row_norm
        gradient = lost_in_pass(rows=sums.rows, of=of, error=self.error(sums), weight_share=share)
        return max(self.lost, gradient)


def step_bound(
    problem: Problem, sums: LogisticSums, round_off: KeptRoundOff, step: Tensor, product: Tensor
) -> Bound:
    """Theorem 7 for the weights base - step; infinite where it does not say anything.

    Args:
        problem: strongly convex, one class against the rest, trained to a tolerance.
        sums: over the retained rows.
        round_off: of the sums.
        step: x, (classes, m).
        product: n A x, (classes, m), by `sums`.

    Raises:
        AssumptionBroken: if training is not held to a tolerance.
    """
    mu, held = tolerance(problem)
    norm, n = round_off.row_norm, sums.rows
    shared = {"row_norm": norm, "strong_convexity": mu, "columns": round_off.columns, "rows": n}
    # how long retrained weights may be; their own gradient, by a pass, is off as well
    longest = diameter(problem) / 2
    theirs = mean_gradient_round_off(weight_norm=longest, **shared)
    gradient = held + math.sqrt(len(step)) * theirs
    left = (sums.slope(mu) - product) / n
    waiting = lost_to_waiting(columns=round_off.columns, waiting=sums.pending)
    parts, charges = [], []
    for k, x in enumerate(step):
        length = _norm(x)
        charge = kept_residual_round_off(
            step_norm=length,
            weight_norm=_norm(sums.base[k]),
            lost=round_off.lost + waiting,
            **shared,
        )
        energy = float(x.dot(product[k])) / n + length * charge
        parts.append(
            step_without_pass_bound(
                step_norm=length,
                step_energy=math.sqrt(max(energy, mu * length**2)),
                residual=_norm(left[k]) + charge,
                retrain_gradient=gradient,
                strong_convexity=mu,
                self_concordance=norm,
                stale=norm * _norm(sums.base[k] - sums.bent[k]),
            )
        )
        charges.append(charge)
    value = separable_bound(parts, retrain_gradient=gradient, strong_convexity=mu)
    rests_on = (
        constant("training_gradient", held),
        constant("strong_convexity", mu),
        constant("self_concordance", norm, "declared" if round_off.declared else "measured"),
        constant("step_norm", _norm(step), "measured"),
        constant("residual", _norm(left), "measured"),
        constant("round_off", math.hypot(*charges, gradient - held), "measured"),
    )
    return Bound("thm7", _EVALUATION * value, rests_on)


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values))

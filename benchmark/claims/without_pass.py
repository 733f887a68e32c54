"""Theorem 7 for one-vs-rest regressions by kept sums, and what float64 may have lost of these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.claims.bounds import Bound, constant, diameter, tolerance
from benchmark.contract.claim import Constant
from benchmark.curvature.kept_sums import Leverage, LogisticSums
from benchmark.problem.problem import Problem
from benchmark.theory.round_off import (
    cholesky_contraction,
    gamma,
    kept_residual_round_off,
    lost_after_downdate,
    lost_in_pass,
    lost_in_probability,
    lost_in_sums,
    lost_to_waiting,
    mean_gradient_round_off,
)
from benchmark.theory.strongly_convex import (
    separable_bound,
    step_by_leverage_bound,
    step_by_logits_bound,
    step_without_pass_bound,
)

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
        own, waiting = forgotten * self.error(before), before.pending
        return lost_after_downdate(self.lost, before.rows, forgotten, waiting=waiting) + own

    def passed(self, sums: LogisticSums, of: int) -> float:
        """E of sums whose gradient came from passes over `of` rows, the second derivatives not."""
        share = self.strong_convexity * _norm(sums.base) / self.row_norm
        gradient = lost_in_pass(rows=sums.rows, of=of, error=self.error(sums), weight_share=share)
        return max(self.lost, gradient)

    def inverted(self, sums: LogisticSums) -> float:
        """A bound on the relative error of x.A^-1 x by a Cholesky factor of the sums."""
        mu, norm = self.strong_convexity, self.row_norm
        condition = (norm**2 / 4 + mu) / mu
        solved = cholesky_contraction(columns=self.columns, condition=condition)
        summed = self.lost * norm**2 / (sums.rows * mu)
        return _EVALUATION * (solved + summed + solved * summed) + 2.0**-20

    @property
    def traced(self) -> float:
        """A bound on the error of the trace of sums less that of sums over some of the rows."""
        return 2 * math.sqrt(self.columns) * self.lost * self.row_norm**2

    def changed(self, length: float) -> float:
        """A bound on the error of a row's logit by weights of so much norm."""
        return gamma(self.columns + 2) * self.row_norm * length


def step_bound(
    problem: Problem,
    sums: LogisticSums,
    round_off: KeptRoundOff,
    step: Tensor,
    product: Tensor,
    *,
    leverage: Leverage | None = None,
    logit_change: Tensor | None = None,
) -> Bound:
    """Theorem 7 for the weights base - step; infinite where it does not say anything.

    Args:
        problem: strongly convex, one class against the rest, trained to a tolerance.
        sums: over the retained rows.
        round_off: of the sums.
        step: x, (classes, m).
        product: n A x, (classes, m), by `sums`.
        leverage: of the rows in the Hessian where A is taken, before any left; if it is known.
        logit_change: (classes,) the largest change of a row's logit by the step, where it is known.

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
        known = {
            "step_energy": math.sqrt(max(energy, mu * length**2)),
            "residual": _norm(left[k]) + charge,
            "retrain_gradient": gradient,
            "strong_convexity": mu,
            "stale": norm * _norm(sums.base[k] - sums.bent[k]),
        }
        part = step_without_pass_bound(**known, step_norm=length, self_concordance=norm)
        if leverage is not None:
            whole = leverage.energy(k, x, mu) + length * charge
            gone = leverage.gone(k, sums) + round_off.traced
            by_leverage = step_by_leverage_bound(
                **known,
                whole_energy=math.sqrt(max(whole, mu * length**2)),
                leverage=float(leverage.largest[k]),
                widening=math.sqrt(1 + gone / (leverage.rows * mu)),
            )
            part = min(part, by_leverage)
        if logit_change is not None:
            change = float(logit_change[k]) + round_off.changed(length)
            by_logits = step_by_logits_bound(**known, self_concordance=norm, logit_change=change)
            part = min(part, by_logits)
        parts.append(part)
        charges.append(charge)
    value = separable_bound(parts, retrain_gradient=gradient, strong_convexity=mu)
    rests_on = (
        constant("training_gradient", held),
        constant("strong_convexity", mu),
        constant("self_concordance", norm, "declared" if round_off.declared else "measured"),
        constant("step_norm", _norm(step), "measured"),
        constant("residual", _norm(left), "measured"),
        constant("round_off", math.hypot(*charges, gradient - held), "measured"),
        *_measured(
            "leverage", leverage and leverage.largest, "no root of x.A^-1 x of a row is larger"
        ),
        *_measured("logit_change", logit_change, "the step changes no row's logit by more"),
    )
    return Bound("thm7", _EVALUATION * value, rests_on)


def _measured(name: str, values: Tensor | None, meaning: str) -> list[Constant]:
    """What was measured of each class, as one constant; none where it was not."""
    if values is None:
        return []
    return [Constant(name=name, value=float(values.max()), provenance="measured", meaning=meaning)]


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values))

"""Audit from whole runs: N unlearned models against N retrained ones.

It needs no knowledge of the method, and a few dozen runs refute only large claims: the board
shows what N could have refuted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmark.audit.mechanism import AuditResult
from benchmark.audit.rates import Rates, rates
from benchmark.audit.threshold import judge
from benchmark.errors import LetheError
from benchmark.theory import require


@dataclass(frozen=True)
class ModelAudit:
    """An audit next to the claim it is about.

    Attributes:
        result: the lower bound on epsilon, of method `direct`.
        resolution: the largest epsilon that as many runs could have proved.
        certified_epsilon: the claim.
    """

    result: AuditResult
    resolution: float
    certified_epsilon: float

    @property
    def verdict(self) -> Literal["refuted", "not refuted", "not falsifiable"]:
        """`not falsifiable` where no outcome of these runs could have refuted the claim."""
        if self.certified_epsilon >= self.resolution:
            return "not falsifiable"
        return "refuted" if self.result.lower_epsilon > self.certified_epsilon else "not refuted"

    @property
    def text(self) -> str:
        """The verdict as the board prints it."""
        suffix = f" at {self.result.draws}" if self.verdict == "not falsifiable" else ""
        return self.verdict + suffix


def model_audit(
    unlearned_scores: np.ndarray,
    retrained_scores: np.ndarray,
    certified_epsilon: float,
    delta: float,
    confidence: float = 0.95,
    *,
    threshold: float | None = None,
) -> ModelAudit:
    """A lower bound on epsilon from one score per run, from the definition alone.

    Args:
        unlearned_scores: (n,) one per independent run of the method.
        retrained_scores: (m,) one per independent run of its reference.
        certified_epsilon: the claim.
        delta: of the claim.
        confidence: split in halves between the two error rates; the bounds both ways follow
            from the same two and cost nothing more.
        threshold: fixed before any run was scored; all runs then judge it. By default half of
            the runs choose it and the other half judge.

    Raises:
        AssumptionBroken: if delta or the confidence is outside (0, 1) or the claim is negative.
        LetheError: if a side has fewer than two scores or one that is not a number.
    """
    require.probability(delta=delta, confidence=confidence)
    require.nonnegative(certified_epsilon=certified_epsilon)

    def epsilon(rates: Rates) -> np.ndarray:
        return _epsilon(rates, delta)

    if threshold is None:
        value, runs = judge(
            unlearned_scores, retrained_scores, epsilon, share=0.5, confidence=confidence
        )
    else:
        at = np.array([threshold], dtype=np.float64)
        value = float(epsilon(rates(unlearned_scores, retrained_scores, at, confidence))[0])
        runs = min(len(unlearned_scores), len(retrained_scores))
    result = AuditResult(max(0.0, value), confidence, runs, "direct")
    return ModelAudit(result, resolution(runs, delta, confidence), certified_epsilon)


def resolution(runs: int, delta: float, confidence: float = 0.95) -> float:
    """The largest epsilon that `runs` judged runs a side could prove, by separating perfectly.

    ln((1 - q - delta) / q), where q = 1 - ((1 - confidence) / 2)^(1 / runs) is the
    Clopper-Pearson bound on a rate of which no event was seen.

    Args:
        runs: that judge the threshold, on each side; those that chose it do not count.
        delta: of the claim.
        confidence: as in the audit.

    Raises:
        AssumptionBroken: if delta or the confidence is outside (0, 1).
        LetheError: if there is no run.
    """
    require.probability(delta=delta, confidence=confidence)
    if runs < 1:
        raise LetheError("an audit needs at least one run on each side")
    rate = -math.expm1(math.log((1 - confidence) / 2) / runs)
    return math.log((1 - rate - delta) / rate) if 1 - delta > 2 * rate else 0.0


def _epsilon(rates: Rates, delta: float) -> np.ndarray:
    """The better of P(T) <= e^epsilon Q(T) + delta and the same for Q and the complement of T."""
    positive, negative = rates.false_positive, rates.false_negative
    forth = np.maximum(1 - negative - delta, 0) / positive
    back = np.maximum(1 - positive - delta, 0) / negative
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(forth, back))

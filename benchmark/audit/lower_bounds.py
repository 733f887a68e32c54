"""Lower bounds on epsilon, measured: of one release, or from whole runs against retraining."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta

from benchmark.errors import LetheError
from benchmark.theory import require
from benchmark.theory.gaussian import epsilon_for


@dataclass(frozen=True)
class Rates:
    """Upper bounds on the two error rates of tests that answer "released" above a threshold.

    Attributes:
        false_positive: (k,) of references called released, one per threshold.
        false_negative: (k,) of released called reference.
    """

    false_positive: np.ndarray
    false_negative: np.ndarray


def rates(
    released: np.ndarray, reference: np.ndarray, thresholds: np.ndarray, confidence: float
) -> Rates:
    """Clopper-Pearson bounds, each with half of the chance to be wrong.

    At each threshold that was fixed without looking at these scores, both hold together with
    probability `confidence`.

    Args:
        released: (n,) scores.
        reference: (m,) scores.
        thresholds: (k,).
        confidence: in (0, 1).
    """
    above = len(reference) - np.searchsorted(np.sort(reference), thresholds, side="right")
    below = np.searchsorted(np.sort(released), thresholds, side="right")
    level = 1 - (1 - confidence) / 2
    return Rates(
        false_positive=_at_most(above, len(reference), level),
        false_negative=_at_most(below, len(released), level),
    )


def _at_most(events: np.ndarray, trials: int, level: float) -> np.ndarray:
    """(k,) upper bounds on a probability from (k,) counts, each one-sided at `level`."""
    others = trials - events
    bound = beta.ppf(level, events + 1, np.maximum(others, 1))
    return np.where(others > 0, bound, 1.0)


# Choose a threshold on some scores, judge it on others.
#
# A threshold judged on the scores that it was chosen on "proves" an epsilon of about 1 on
# identical distributions.

#: What makes a threshold good: (k,) values from the rates at k thresholds.
Objective = Callable[[Rates], np.ndarray]


def judge(
    released: np.ndarray,
    reference: np.ndarray,
    objective: Objective,
    *,
    share: float,
    confidence: float,
) -> tuple[float, int]:
    """The objective at a threshold chosen on a share of the scores, from the rest of them.

    Args:
        released: (n,) independent scores.
        reference: (m,) independent scores.
        objective: the lower bound wanted, from bounds on the two rates.
        share: of the scores that goes to the choice.
        confidence: of the result.

    Returns:
        The bound, and the number of scores it was judged on, on the smaller side.

    Raises:
        LetheError: if a side has fewer than two scores or one that is not a number.
    """
    choose_released, judge_released = _split(released, share)
    choose_reference, judge_reference = _split(reference, share)
    choices = [
        (*_best(sign * choose_released, sign * choose_reference, objective, confidence), sign)
        for sign in (1.0, -1.0)  # the released scores may lie on either side
    ]
    _, threshold, sign = max(choices)
    bound = rates(sign * judge_released, sign * judge_reference, np.array([threshold]), confidence)
    return float(objective(bound)[0]), min(len(judge_released), len(judge_reference))


def _split(scores: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut (n,) scores in the order given, with at least one on each side."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
        raise LetheError("an audit needs a flat list of at least two finite scores on each side")
    cut = min(len(scores) - 1, max(1, round(share * len(scores))))
    return scores[:cut], scores[cut:]


def _best(
    released: np.ndarray, reference: np.ndarray, objective: Objective, confidence: float
) -> tuple[float, float]:
    """The best value of the objective and its threshold, the middle one where many are best."""
    pooled = np.quantile(np.concatenate([released, reference]), np.linspace(0, 1, 201))
    thresholds = (pooled[1:] + pooled[:-1]) / 2
    values = objective(rates(released, reference, thresholds, confidence))
    best = np.flatnonzero(values == values.max())
    return float(values.max()), float(thresholds[best[len(best) // 2]])


# Audit of one release that is "deterministic weights plus Gaussian noise".
#
# The worst direction is the one between the two noise-free weights: projected on it, the release
# is N(distance, sigma^2) against N(0, sigma^2), and 1e5 draws of the noise cost next to nothing.
# The draws must be the method's own: noise that is too small, or not fresh, then shows.

#: Where draws are cheap a tenth of them finds the threshold, and the rest judge it.
CHOICE_SHARE = 0.1


@dataclass(frozen=True)
class AuditResult:
    """What an audit proved.

    Attributes:
        lower_epsilon: no smaller epsilon is true, with `confidence`; 0 where nothing was found.
        confidence: that this is so.
        draws: scores on each side that the threshold was judged on.
        method: `gdp`, the release taken to be a Gaussian mechanism of some m; or `direct`, from
            the definition of (epsilon, delta) alone.
    """

    lower_epsilon: float
    confidence: float
    draws: int
    method: str


def mechanism_audit(
    released_projection: np.ndarray,
    reference_projection: np.ndarray,
    delta: float,
    confidence: float = 0.95,
) -> AuditResult:
    """A lower bound on the epsilon of a Gaussian mechanism, through its m.

    Any test of an m-GDP release has m >= Phi^-1(1 - FPR) - Phi^-1(FNR) (Dong, Roth & Su 2022;
    Nasr et al. 2023), so a confidence bound on both rates gives one on m.

    Args:
        released_projection: (n,) independent releases after unlearning, projected.
        reference_projection: (m,) independent releases of the retrained model, projected.
        delta: of the certificate.
        confidence: split in halves between the two rates; nothing else is random.

    Raises:
        AssumptionBroken: if delta or the confidence is outside (0, 1).
        LetheError: if a side has fewer than two scores or one that is not a number.
    """
    require.probability(delta=delta, confidence=confidence)
    m, draws = judge(
        released_projection,
        reference_projection,
        _gdp_parameter,
        share=CHOICE_SHARE,
        confidence=confidence,
    )
    return AuditResult(epsilon_for(max(0.0, m), delta), confidence, draws, "gdp")


def gdp_resolution(draws: int, delta: float, confidence: float = 0.95) -> float:
    """The largest epsilon that `draws` judged scores a side could prove of a Gaussian mechanism.

    It is what perfect separation gives: no error on either side, whose rate is then at most
    1 - ((1 - confidence) / 2)^(1 / draws).

    Args:
        draws: that judge the threshold, on each side; those that chose it do not count.
        delta: of the claim.
        confidence: as in the audit.

    Raises:
        AssumptionBroken: if delta or the confidence is outside (0, 1).
        LetheError: if there is no score.
    """
    require.probability(delta=delta, confidence=confidence)
    if draws < 1:
        raise LetheError("an audit needs at least one score on each side")
    separated = rates(np.ones(draws), np.zeros(draws), np.array([0.5]), confidence)
    return epsilon_for(max(0.0, float(_gdp_parameter(separated)[0])), delta)


def _gdp_parameter(rates: Rates) -> np.ndarray:
    return ndtri(1 - rates.false_positive) - ndtri(rates.false_negative)


# Audit from whole runs: N unlearned models against N retrained ones.
#
# It needs no knowledge of the method, and a few dozen runs refute only large claims: the board
# shows what N could have refuted.


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

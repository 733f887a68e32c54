"""Audit of one release that is "deterministic weights plus Gaussian noise".

The worst direction is the one between the two noise-free weights: projected on it, the release
is N(distance, sigma^2) against N(0, sigma^2), and 1e5 draws of the noise cost next to nothing.
The draws must be the method's own: noise that is too small, or not fresh, then shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from benchmark.audit.rates import Rates, rates
from benchmark.audit.threshold import judge
from benchmark.errors import LetheError
from benchmark.theory import require
from benchmark.theory.gaussian import epsilon_for

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

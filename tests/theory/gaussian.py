"""Noise for a distance, exactly and by the textbook's formula."""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken
from benchmark.theory import require
from benchmark.theory.gaussian import m_for


def sigma_for(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least noise per coordinate that makes distance `sensitivity` (epsilon, delta).

    Raises:
        AssumptionBroken: if an argument is negative or not finite, or delta is outside (0, 1).
    """
    require.nonnegative(sensitivity=sensitivity)
    return sensitivity / m_for(epsilon, delta)


def classical_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The textbook noise, Delta sqrt(2 ln(1.25 / delta)) / epsilon (Dwork & Roth 2014, A.1).

    It is here to be compared with `sigma_for`, which is never larger.

    Raises:
        AssumptionBroken: if epsilon is above 1, where the formula is no theorem.
    """
    require.positive(epsilon=epsilon)
    require.nonnegative(sensitivity=sensitivity)
    require.probability(delta=delta)
    if epsilon > 1:
        raise AssumptionBroken(
            f"the classical Gaussian formula is proved for epsilon <= 1 only; it is {epsilon:.3g}"
        )
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon

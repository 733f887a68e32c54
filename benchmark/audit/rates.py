"""Error rates of threshold tests, bounded with confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta


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

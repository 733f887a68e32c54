"""Choose a threshold on some scores, judge it on others.

A threshold judged on the scores that it was chosen on "proves" an epsilon of about 1 on
identical distributions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmark.audit.rates import Rates, rates
from benchmark.errors import LetheError

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

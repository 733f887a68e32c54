"""How far a model's predictions are from the retrained model's: two divergences."""

from __future__ import annotations

import math

import numpy as np

from benchmark.metrics.measure import Measure
from benchmark.metrics.outputs import probabilities

_TO_LN_2, _ABOVE_0 = (0.0, math.log(2)), (0.0, math.inf)


def kullback_leibler(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) KL(first || second) in nats; infinite where `second` rules out what `first` does not.

    Args:
        first: (n, classes) log-probabilities.
        second: (n, classes).

    Raises:
        LetheError: if the rows do not sum to one.
    """
    p, q = probabilities(first, "first model"), probabilities(second, "second model")
    positive = p > -np.inf
    difference = np.subtract(p, q, out=np.zeros_like(p), where=positive)
    return np.maximum((np.exp(p) * difference).sum(axis=-1), 0)


def kl_from_retrain(retrained: np.ndarray, model: np.ndarray) -> Measure:
    """Mean of KL(retrain || model) over examples."""
    each = kullback_leibler(retrained, model)
    infinite = int(np.isinf(each).sum())
    if infinite:
        note = f"infinite on {infinite} rows: the model rules out what the retrained one does not"
        return Measure(None, "lower", _ABOVE_0, unit="nats", n=len(each), note=note)
    return Measure(float(each.mean()), "lower", _ABOVE_0, unit="nats", n=len(each))


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) divergences with natural logarithm (Lin 1991), in [0, ln 2], symmetric.

    Args:
        first: (n, classes) log-probabilities.
        second: (n, classes).

    Raises:
        LetheError: if the rows do not sum to one.
    """
    p, q = probabilities(first, "first model"), probabilities(second, "second model")
    return np.clip((_to_the_middle(p, q) + _to_the_middle(q, p)) / 2, *_TO_LN_2)


def jensen_shannon_to_retrain(retrained: np.ndarray, model: np.ndarray) -> dict[str, Measure]:
    """Mean and 95th percentile over examples; 0 for a model that predicts as the retrained one."""
    each = jensen_shannon(retrained, model)
    found = {"js_mean": each.mean(), "js_p95": np.quantile(each, 0.95)}
    return {
        name: Measure(float(value), "lower", _TO_LN_2, unit="nats", n=len(each))
        for name, value in found.items()
    }


def _to_the_middle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """(n,) KL(p || (p + q) / 2) from log-probabilities; 0 and not round-off where p is q."""
    ratio = np.subtract(q, p, out=np.zeros_like(p), where=p > -np.inf)
    # Where q is e^500 times p, p's share is 0 in floating point; the cap avoids 0 * infinity.
    return -(np.exp(p) * np.log1p(np.expm1(np.minimum(ratio, 500)) / 2)).sum(axis=-1)

"""Kullback-Leibler divergence of a model's predictions from the retrained model's."""

from __future__ import annotations

import math

import numpy as np

from benchmark.metrics.measure import Measure
from benchmark.metrics.outputs import probabilities

BOUNDS = (0.0, math.inf)


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
        return Measure(None, "lower", BOUNDS, unit="nats", n=len(each), note=note)
    return Measure(float(each.mean()), "lower", BOUNDS, unit="nats", n=len(each))

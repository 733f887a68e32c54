"""Checks on the arrays that metrics are given."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError


def probabilities(log_probabilities: np.ndarray, name: str) -> np.ndarray:
    """(..., classes) float64 log-probabilities, checked to sum to one.

    Raises:
        LetheError: if they do not: they are logits, or losses, or not numbers.
    """
    outputs = np.asarray(log_probabilities, dtype=np.float64)
    if outputs.ndim < 2 or outputs.size == 0:
        raise LetheError(f"{name}: log-probabilities need a row for each example")
    if not np.allclose(np.exp(outputs).sum(axis=-1), 1, atol=1e-5):
        raise LetheError(f"{name}: these are no log-probabilities, they do not sum to one")
    return outputs


def scores(values: np.ndarray, name: str, dimensions: int) -> np.ndarray:
    """Finite float64 scores with `dimensions` axes, none of them empty.

    Raises:
        LetheError: for another shape, or a score that is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise LetheError(f"{name}: scores need {dimensions} axes, none of them empty")
    if not np.isfinite(array).all():
        raise LetheError(f"{name}: some scores are not finite numbers")
    return array

"""The margin of a label: how sure a model is of it, without saturating, and whether it varies."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from benchmark.errors import LetheError

#: Below this, relative to the margin, models differ by round-off and stopping tolerance only.
RESOLUTION = 1e-6


def margins(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) margins z_y - logsumexp of the other logits, which is log(p_y / (1 - p_y)).

    Carlini et al. (2022) and Georgiev et al. (2025). Taken from all log-probabilities, since
    1 - p_y is 0 in floating point long before it is 0.

    Args:
        log_probabilities: (n, classes), two classes or more; logits do as well.
        labels: (n,).

    Raises:
        LetheError: if there is only one class, or a row without a label.
    """
    outputs = np.asarray(log_probabilities, dtype=np.float64)
    n, classes = outputs.shape
    if classes < 2 or len(labels) != n:
        raise LetheError("margins need two classes or more and a label for each row")
    rows = np.arange(n)
    others = outputs.copy()
    others[rows, labels] = -np.inf
    return outputs[rows, labels] - logsumexp(others, axis=1)


def deterministic(margins: np.ndarray) -> bool:
    """Whether some example has the same margin under every model, up to round-off.

    Convex training to a tolerance gives one model whatever its seed; its margins have no
    distribution that another could be compared with.

    Args:
        margins: (models, n).
    """
    scale = np.maximum(np.abs(margins).max(axis=0), 1)
    return bool((margins.std(axis=0) <= RESOLUTION * scale).any())

"""How much a model's answer on a row owes to having been trained on it."""

from __future__ import annotations

import numpy as np

from benchmark.errors import LetheError


def leave_out_effect(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(n,) mean score of the models trained on a row, minus the mean of those that were not.

    With the probability of the label as the score this is the memorisation of Feldman & Zhang
    (2020), estimated over random halves as they do.

    Args:
        scores: (models, n), e.g. the probability of each row's label.
        members: (models, n) bool: whether a model was trained on a row.

    Raises:
        LetheError: if a row is in all models or in none.
    """
    inside = members.sum(axis=0)
    outside = len(members) - inside
    if not (inside.all() and outside.all()):
        raise LetheError("some rows are in all shadow models or in none: use more models")
    mean_inside = np.where(members, scores, 0).sum(axis=0) / inside
    mean_outside = np.where(members, 0, scores).sum(axis=0) / outside
    return mean_inside - mean_outside

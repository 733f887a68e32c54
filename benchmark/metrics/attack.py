"""Population membership attack: does a low loss betray a member (Yeom et al. 2018)?"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from benchmark.errors import LetheError


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """Probability that a member scores above a non-member, ties counted half, in [0, 1].

    The Mann-Whitney form of the area under the ROC curve.

    Args:
        members: (n,) scores, higher for what looks like a member.
        others: (m,) scores of non-members.

    Raises:
        LetheError: if a side has no score, or one that is no number.

    >>> auc(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    for side, found in (("member", members), ("non-member", others)):
        if np.size(found) == 0:
            raise LetheError(f"an AUC needs a score of each side: there is no {side}")
        if np.isnan(found).any():
            raise LetheError(f"an AUC needs numbers: the score of a {side} is NaN")
    ranks = rankdata(np.concatenate([members, others]))
    n, m = len(members), len(others)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def population_auc(forget_losses: np.ndarray, negative_losses: np.ndarray) -> float:
    """AUC of telling forgotten rows from never-trained ones by their loss, in [0, 1].

    Nothing is fitted, so the attack cannot score well by having seen its own test rows. The
    ideal is not 0.5 but the value on a retrained model.
    """
    return auc(-np.asarray(forget_losses), -np.asarray(negative_losses))

"""What a release is worth: losses and accuracy, and the gain over public rows alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from benchmark.contract.value import Value
from benchmark.errors import LetheError
from benchmark.metrics.statistics import paired_interval

# Losses and accuracy.


def accuracy(log_probabilities: Tensor, labels: Tensor) -> float:
    """Share of rows whose likeliest class is the label, in [0, 1].

    Args:
        log_probabilities: (n, classes).
        labels: (n,).

    Raises:
        LetheError: if there is no row, or an output is no number.
    """
    if len(labels) == 0:
        raise LetheError("an accuracy needs a row: there is none")
    if log_probabilities.isnan().any():
        raise LetheError("an accuracy needs numbers: an output of the model is NaN")
    return float((log_probabilities.argmax(dim=1) == labels).double().mean())


def losses(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """(n,) negative log-likelihood of each label, in nats."""
    return -log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)


# Test accuracy from public rows alone, and the gain of a release over it.


#: Control, the name that its metrics begin with, and what it is.
CONTROLS = {
    "head": ("public", "the same model trained on the public rows alone"),
    "net": ("public_net", "the net that was trained on the public rows, by itself"),
}


def score_public(ours: np.ndarray, controls: Mapping[str, np.ndarray]) -> dict[str, Value]:
    """Test accuracy of each control, and the gain of a release over it.

    Args:
        ours: (n,) bool, whether the release is right on a test row.
        controls: the same of each control that there is, by its name in `CONTROLS`.

    Raises:
        LetheError: if a control is of other rows.
    """
    scores = {}
    for name, theirs in controls.items():
        if len(theirs) != len(ours):
            raise LetheError("a control is judged on the same test rows")
        metric, what = CONTROLS[name]
        found = paired_interval(ours.astype(np.float64), theirs.astype(np.float64))
        scores[f"{metric}_accuracy_test"] = Value(
            value=100 * float(theirs.mean()), unit="%", direction="none", n=len(theirs), note=what
        )
        scores[f"{metric}_accuracy_test_gap"] = Value(
            value=100 * found.mean,
            unit="points",
            direction="higher",
            n=len(ours),
            note=f"above {what}; over the test rows, 95 %: {_ends(found.low, found.high)}",
        )
    return scores


def _ends(low: float | None, high: float | None) -> str:
    """E.g. `+0.41 to +0.93`."""
    if low is None or high is None:
        return "unknown from one row"
    return f"{100 * low:+.2f} to {100 * high:+.2f}"

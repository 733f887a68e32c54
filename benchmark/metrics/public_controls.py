"""Test accuracy from public rows alone, and the gain of a release over it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.contract.value import Value
from benchmark.errors import LetheError
from benchmark.metrics.statistics import paired_interval

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

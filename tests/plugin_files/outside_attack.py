"""A membership attack."""

from __future__ import annotations

import numpy as np

from lethe import RowAttack, RowCase, Source


class OutsideAttack(RowAttack):
    """The probability of the label."""

    name = "outside-attack"
    title = "Outside attack"
    source = Source(paper="None", url="https://example.org")

    def score(self, case: RowCase) -> np.ndarray:
        return np.exp(case.outputs[np.arange(len(case.labels)), case.labels])

"""A likelihood ratio for each example, from many models a side."""

from __future__ import annotations

import numpy as np

from benchmark.contract.method import Source
from benchmark.metrics.attack_contract import ModelAttack, ModelCase
from benchmark.metrics.margins import margins
from benchmark.metrics.ulira import likelihood_ratio


class ULiRA(ModelAttack):
    """Gaussians of the margins after unlearning and without training, one pair an example."""

    name = "u-lira"
    title = "U-LiRA"
    source = Source(
        paper="Hayes et al.: Inexact Unlearning Needs More Careful Evaluations (SaTML 2025)",
        url="https://arxiv.org/abs/2403.01218",
    )

    def score(self, case: ModelCase) -> np.ndarray:
        return likelihood_ratio(
            _margins(case.unlearned, case.labels),
            _margins(case.retrained, case.labels),
            _margins(case.scored, case.labels),
        )


def _margins(outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(models, n) from (models, n, classes)."""
    return np.stack([margins(each, labels) for each in outputs])

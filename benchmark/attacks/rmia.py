"""Pairwise likelihood ratios with a few reference models."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from benchmark.contract.method import Source
from benchmark.metrics.attack_contract import RowAttack, RowCase
from benchmark.metrics.rmia import rmia


class RMIA(RowAttack):
    """A member is likelier than most never-trained examples, each beside its references."""

    name = "rmia"
    title = "RMIA"
    source = Source(
        paper="Zarifzadeh, Liu, Shokri: Low-Cost High-Power Membership Inference (ICML 2024)",
        url="https://arxiv.org/abs/2312.03262",
    )
    references = 8

    # With few references gamma = 1 tells more than the paper's 2; the slope is the paper's.
    gamma: float = Field(1.0, ge=1)
    slope: float = Field(0.3, ge=0, le=1)

    def score(self, case: RowCase) -> np.ndarray:
        return rmia(
            _of_label(case.outputs, case.labels),
            _of_label(case.references, case.labels),
            case.outside,
            _of_label(case.population_outputs, case.population_labels),
            _of_label(case.population_references, case.population_labels),
            gamma=self.gamma,
            slope=self.slope,
        )


def _of_label(log_probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(..., n) probabilities of the labels, from (..., n, classes)."""
    return np.minimum(np.exp(log_probabilities[..., np.arange(len(labels)), labels]), 1)

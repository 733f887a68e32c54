"""Attacks on single rows by their losses and likelihoods."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from benchmark.contract.method import Source
from benchmark.metrics.attacks import ModelAttack, ModelCase, RowAttack, RowCase
from benchmark.metrics.divergence import margins
from benchmark.metrics.scores import likelihood_ratio, rmia


class Population(RowAttack):
    """What was trained on has a low loss. Nothing is fitted."""

    name = "population"
    title = "Population attack (loss)"
    source = Source(
        paper="Yeom, Giacomelli, Fredrikson, Jha: Privacy Risk in Machine Learning (CSF 2018)",
        url="https://arxiv.org/abs/1709.01604",
    )

    def score(self, case: RowCase) -> np.ndarray:
        return case.outputs[np.arange(len(case.labels)), case.labels]


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

"""Accuracy and loss."""

from __future__ import annotations

from torch import Tensor

from benchmark.errors import LetheError


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

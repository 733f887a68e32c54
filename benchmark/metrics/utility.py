"""Accuracy and loss."""

from __future__ import annotations

from torch import Tensor


def accuracy(log_probabilities: Tensor, labels: Tensor) -> float:
    """Share of rows whose likeliest class is the label, in [0, 1].

    Args:
        log_probabilities: (n, classes).
        labels: (n,).
    """
    return float((log_probabilities.argmax(dim=1) == labels).double().mean())


def losses(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """(n,) negative log-likelihood of each label, in nats."""
    return -log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)

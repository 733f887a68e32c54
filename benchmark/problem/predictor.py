"""The public face of a model or an ensemble."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.problem.model import Model


@dataclass(frozen=True)
class Predictor:
    """One model, or an ensemble whose class probabilities are averaged.

    Attributes:
        model: the architecture.
        weights: (d,) for one model, (members, d) for an ensemble.
    """

    model: Model
    weights: Tensor

    @property
    def members(self) -> Tensor:
        """(members, d), one row for a single model."""
        return torch.atleast_2d(self.weights)

    @torch.no_grad()
    def log_probabilities(self, x: Tensor) -> Tensor:
        """(n, classes) float64 log-probabilities for `x` (n, inputs)."""
        parts = x.split(self.model.chunk or max(1, len(x)))
        each = [
            torch.cat([self.model(w, part).double().log_softmax(dim=1) for part in parts])
            for w in self.members
        ]
        return torch.stack(each).logsumexp(dim=0) - torch.tensor(float(len(each))).double().log()

"""The public face of a model or an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.problem.model import Model


@dataclass(frozen=True)
class Predictor:
    """One model, or an ensemble whose class probabilities, or real predictions, are averaged.

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
        """(n, classes) float64 log-probabilities for `x` (n, inputs).

        Raises:
            LetheError: if the model predicts a real number.
        """
        if self.model.classes == 1:
            raise LetheError(
                "the target is a real number, and this asks for probabilities of classes"
            )
        each = self._each(x, lambda logits: logits.log_softmax(dim=1))
        return torch.stack(each).logsumexp(dim=0) - torch.tensor(float(len(each))).double().log()

    @torch.no_grad()
    def numbers(self, x: Tensor) -> Tensor:
        """(n,) float64 predictions of a real target, on its scale, for `x` (n, inputs).

        Raises:
            LetheError: if the model predicts classes.
        """
        if self.model.classes != 1:
            raise LetheError("the target is of classes, and this asks for a real number")
        return torch.stack(self._each(x, lambda output: output)).mean(dim=0)[:, 0]

    def _each(self, x: Tensor, of: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """(n, classes) float64 of each member, what `of` makes of its outputs."""
        parts = x.split(self.model.chunk or max(1, len(x)))
        return [
            torch.cat([of(self.model(w, part).double()) for part in parts]) for w in self.members
        ]

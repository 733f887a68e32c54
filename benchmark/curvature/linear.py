"""The Hessian of a linear model, in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

#: Rows that are multiplied at a time, so that the second product finds them in the cache.
CHUNK = 256


class LinearHessian:
    """v -> hess L(w) v for a mean loss of logits x W^T + b plus (ridge / 2) ||w||^2.

    Two matrix products a chunk of rows and no graph: less than half the time of
    reverse-over-reverse and a fraction of its memory. Equal to it to round-off (tested).

    Args:
        x: (n, inputs).
        y: (n,) labels.
        weights: (classes * (inputs + 1),), the rows of W, then b.
        loss: of the objective.
        ridge: of the objective.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        weights: Tensor,
        *,
        loss: Literal["cross_entropy", "squared"],
        ridge: float,
    ) -> None:
        self._x, self._ridge = x, ridge
        self._classes = len(weights) // (x.shape[1] + 1)
        self._softmax = loss == "cross_entropy"
        self._p = x.new_empty(len(x) if self._softmax else 0, self._classes)

        def error(rows: slice, logits: Tensor) -> Tensor:
            if self._softmax:
                logits = self._p[rows] = logits.softmax(dim=1)
            return logits - F.one_hot(y[rows], self._classes).to(x.dtype)

        self._gradient = self._mean_outer(weights, error)

    @property
    def gradient(self) -> Tensor:
        """Gradient of L at w, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Hessian of L at w times `vector`, (d,)."""

        def curved(rows: slice, change: Tensor) -> Tensor:
            if not self._softmax:  # squared loss: the logits' Hessian is the identity
                return change
            p = self._p[rows]  # cross-entropy: it is diag(p) - p p^T
            weighted = p * change
            return weighted.addcmul_(p, weighted.sum(dim=1, keepdim=True), value=-1)

        return self._mean_outer(vector, curved)

    def _mean_outer(self, vector: Tensor, errors: Callable[[slice, Tensor], Tensor]) -> Tensor:
        """Ridge * vector plus the mean outer product of rows with errors(their logits), (d,)."""
        n, inputs = self._x.shape
        matrix, bias = vector[: self._classes * inputs], vector[self._classes * inputs :]
        transposed = matrix.view(self._classes, inputs).T
        outer, total = self._x.new_zeros(self._classes, inputs), torch.zeros_like(bias)
        for start in range(0, n, CHUNK):
            rows = slice(start, start + CHUNK)
            error = errors(rows, torch.addmm(bias, self._x[rows], transposed))
            outer.addmm_(error.T, self._x[rows])
            total += error.sum(dim=0)
        return torch.cat([outer.view(-1), total]).div_(n).add_(vector, alpha=self._ridge)

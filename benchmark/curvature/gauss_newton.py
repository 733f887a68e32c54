"""The generalised Gauss-Newton matrix as a linear operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.curvature.output_loss import Loss, loss_curvature, loss_error


class GaussNewton:
    """v -> J^T (hess loss) J v + ridge v, with J the derivative of the logits (Schraudolph 2002).

    The Hessian without the second derivative of the logits: positive semi-definite, equal to the
    Hessian on a linear model and another matrix elsewhere. The graphs of the logits and of their
    derivative are built once, here.

    Args:
        logits: function of weights (d,) with values (n, classes).
        y: (n,) labels.
        weights: (d,); copied, so that a later change cannot go unnoticed.
        loss: of the objective, a mean over the n rows.
        ridge: of the objective.
    """

    def __init__(
        self,
        logits: Callable[[Tensor], Tensor],
        y: Tensor,
        weights: Tensor,
        *,
        loss: Loss,
        ridge: float,
    ) -> None:
        self._weights = weights.detach().clone().requires_grad_()
        self._loss, self._ridge = loss, ridge
        self._logits = logits(self._weights)
        # J^T u is linear in u; differentiating it in u gives J v by a second backward pass.
        self._u = torch.zeros_like(self._logits, requires_grad=True)
        (self._pulled,) = torch.autograd.grad(
            self._logits, self._weights, self._u, create_graph=True
        )
        error, self._p = loss_error(loss, self._logits.detach().T, y)
        self._gradient = self._pull(error.T).add_(weights.detach(), alpha=ridge)

    @property
    def gradient(self) -> Tensor:
        """The objective's gradient at w, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        """The Gauss-Newton matrix at w times `vector`, (d,)."""
        (pushed,) = torch.autograd.grad(self._pulled, self._u, vector, retain_graph=True)
        change = loss_curvature(self._loss, self._p, pushed.T)
        return self._pull(change.T).add_(vector, alpha=self._ridge)

    def _pull(self, errors: Tensor) -> Tensor:
        """J^T errors / n for errors (n, classes), (d,)."""
        (pulled,) = torch.autograd.grad(self._logits, self._weights, errors, retain_graph=True)
        return pulled / len(errors)

"""Derivatives of the losses in the logits, and what follows from them: Gauss-Newton, Fisher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, vmap

from benchmark.curvature.hessian import slices

# First and second derivative of the losses in the logits.
#
# Classes run along the first dimension, as in the closed form of a linear model, or along the last.

#: The name of one of `CLOSED`.
Loss = str
#: The losses whose derivatives are written out here.
CLOSED: tuple[Loss, ...] = ("cross_entropy", "squared", "one_vs_rest")


def probabilities(loss: Loss, logits: Tensor, dim: Literal[0, 1] = 0) -> Tensor | None:
    """What `loss_curvature` needs to know of the logits, of their shape; None of squared loss.

    The softmax of a cross-entropy; of one class against the rest the logistic function.
    """
    if loss == "squared":
        return None
    return logits.softmax(dim=dim) if loss == "cross_entropy" else logits.sigmoid()


def loss_error(
    loss: Loss, logits: Tensor, y: Tensor, dim: Literal[0, 1] = 0
) -> tuple[Tensor, Tensor | None]:
    """The derivative of each row's loss, and what `loss_curvature` needs to know.

    Args:
        loss: of the objective.
        logits: (classes, n), or (n, classes) with `dim` 1.
        y: (n,) labels; of squared loss also real numbers, of the one class that there is then.
        dim: of the classes.

    Returns:
        The derivative, of the logits' shape, and the `probabilities` likewise or None.
    """
    if y.is_floating_point():
        return logits - y.unsqueeze(dim), None
    classes = torch.arange(logits.shape[dim], device=y.device)
    one_hot = (classes.unsqueeze(1 - dim) == y.unsqueeze(dim)).to(logits.dtype)
    p = probabilities(loss, logits, dim)
    return (logits if p is None else p) - one_hot, p


def loss_curvature(
    loss: Loss, p: Tensor | None, change: Tensor, dim: Literal[-2, -1] = -2
) -> Tensor:
    """Each row's Hessian in the logits times `change` (..., classes, n); `dim` is of the classes.

    It is diag(p) - p p^T for a cross-entropy, diag(p (1 - p)) for one class against the rest, and
    the identity for half a squared distance (p None).
    """
    if p is None:
        return change
    if loss == "one_vs_rest":
        return p * (1 - p) * change
    weighted = p * change
    return weighted.addcmul_(p, weighted.sum(dim=dim, keepdim=True), value=-1)


def loss_sizes(loss: Loss, p: Tensor | None, y: Tensor, dim: Literal[0, 1] = 0) -> Tensor:
    """How much of first and second derivative each row has in its logits, (n,).

    The trace of the second derivative and the norm of p less the label: what a row's part of the
    Hessian grows with, by its Gauss-Newton part and by the rest. The same for all rows where the
    loss is half a squared distance, whose Hessian is.

    Args:
        loss: of the objective.
        p: probabilities (classes, n), or (n, classes) with `dim` 1; None for a squared distance.
        y: (n,) labels.
        dim: of the classes.
    """
    if p is None:
        return torch.ones(len(y), device=y.device)
    square = p.square().sum(dim=dim)
    right = p.gather(dim, y.unsqueeze(dim)).squeeze(dim)
    total = 1 if loss == "cross_entropy" else p.sum(dim=dim)
    return total - square + (square - 2 * right + 1).clamp(min=0).sqrt()


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


# The diagonal of the Fisher information, from squared gradients of single rows.

#: Numbers that a chunk of single-row gradients may hold: 128 MiB in float32.
HELD = 1 << 25


def mean_squared_gradient(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    weights: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    share: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """(1/n) sum_i s_i (grad loss(w, x_i, y_i))^2, elementwise, (d,).

    With the negative log-likelihood and the rows' own labels this is the diagonal of the empirical
    Fisher information.

    Args:
        loss: scalar, of weights (d,), inputs (1, ...) and labels (1,).
        weights: w.
        x: (n, ...).
        y: (n,) labels.
        share: s, (n,); ones if None.
        chunk: rows at a time; by default what `HELD` allows.
    """
    per_row = vmap(
        grad(lambda w, one, label: loss(w, one[None], label[None])), in_dims=(None, 0, 0)
    )
    share = torch.ones_like(y, dtype=weights.dtype) if share is None else share
    total = torch.zeros_like(weights)
    for part in slices(len(y), chunk or max(1, HELD // len(weights))):
        total += share[part] @ per_row(weights.detach(), x[part], y[part]).square()
    return total / len(y)


def fisher_diagonal(
    logits: Callable[[Tensor, Tensor], Tensor], weights: Tensor, x: Tensor
) -> Tensor:
    """E_{y ~ p(.|x_i, w)} (d log p(y | x_i, w) / dw)^2, mean over the rows, (d,).

    The expectation over labels is exact, one pass a class: no label of the data is looked at.

    Args:
        logits: of weights (d,) and inputs (n, ...), with values (n, classes).
        weights: w.
        x: (n, ...).
    """

    def loss(w: Tensor, one: Tensor, label: Tensor) -> Tensor:
        return -logits(w, one).log_softmax(dim=1).gather(1, label[None]).sum()

    total = torch.zeros_like(weights)
    for part in slices(len(x), max(1, HELD // len(weights))):
        with torch.no_grad():
            probabilities = logits(weights, x[part]).softmax(dim=1)
        for c, share in enumerate(probabilities.T):
            label = torch.full_like(share, c, dtype=torch.int64)
            mean = mean_squared_gradient(loss, weights, x[part], label, share=share)
            total += mean * (len(share) / len(x))
    return total

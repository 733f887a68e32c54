"""First and second derivative of the losses in the logits.

Classes run along the first dimension, as in the closed form of a linear model, or along the last.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

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

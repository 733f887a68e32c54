"""First and second derivative of the losses in the logits, for classes x rows matrices.

Classes run along the first dimension: a skinny matrix product is fastest with the few classes as
its rows, and the closed-form operators keep to that orientation throughout.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Loss = Literal["cross_entropy", "squared"]


def loss_error(loss: Loss, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
    """The derivative of each row's loss, and what `loss_curvature` needs to know.

    Args:
        loss: of the objective.
        logits: (classes, n).
        y: (n,) labels.

    Returns:
        The derivative (classes, n), and the softmax probabilities (classes, n) or None.
    """
    one_hot = torch.arange(len(logits), device=y.device).unsqueeze(1) == y
    if loss == "squared":
        return logits - one_hot.to(logits.dtype), None
    p = logits.softmax(dim=0)
    return p - one_hot.to(logits.dtype), p


def loss_curvature(p: Tensor | None, change: Tensor) -> Tensor:
    """Each row's Hessian in the logits times `change` (..., classes, n).

    It is diag(p) - p p^T for a cross-entropy, the identity for half a squared distance (p None).
    """
    if p is None:
        return change
    weighted = p * change
    return weighted.addcmul_(p, weighted.sum(dim=-2, keepdim=True), value=-1)

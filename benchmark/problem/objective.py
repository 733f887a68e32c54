"""The one objective: mean loss plus an explicit squared-L2 term."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F


class Objective(BaseModel):
    """mean over rows of loss(logits, y) + (ridge / 2) ||w||^2.

    Training, gradient and Hessian all use this and nothing else, so that the ridge is counted
    once and the same everywhere. The norm is squared and spans all weights, biases included.
    `squared` is half the squared distance of the logits to the one-hot label. `one_vs_rest` is
    the sum of a binary logistic loss for each class: of a linear model, as many regressions that
    share nothing but the rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Literal["cross_entropy", "squared", "one_vs_rest"] = "cross_entropy"
    ridge: float = Field(0.0, ge=0, allow_inf_nan=False)

    def data_term(self, logits: Tensor, y: Tensor) -> Tensor:
        """The mean loss over rows, a scalar, for logits (n, classes) and labels (n,)."""
        if self.loss == "cross_entropy":
            return F.cross_entropy(logits, y)
        # F.one_hot looks at the values of y, which a batched program (vmap) does not allow.
        one_hot = torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)[y]
        if self.loss == "squared":
            return 0.5 * (logits - one_hot).square().sum(dim=1).mean()
        # ln(1 + e^z) - y z; F.softplus would be linear, and off by 2e-9, from 20 on
        return -(F.logsigmoid(-logits) + one_hot * logits).sum(dim=1).mean()

    def penalty(self, weights: Tensor) -> Tensor:
        """The ridge term, a scalar, for weights (d,)."""
        return 0.5 * self.ridge * weights.dot(weights)

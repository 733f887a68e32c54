"""The losses whose derivatives are written out in `benchmark.curvature.output_loss`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.problem.objective import Loss


class CrossEntropy(Loss):
    """The negative log-likelihood of the label."""

    name = "cross_entropy"
    title = "cross-entropy"
    source = "the suite's own"

    @classmethod
    def mean(cls, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y)


class Squared(Loss):
    """Half the squared distance of the logits to the one-hot label, or to a real target."""

    name = "squared"
    title = "squared loss"
    source = "the suite's own"

    @classmethod
    def mean(cls, logits: Tensor, y: Tensor) -> Tensor:
        target = y.unsqueeze(-1) if y.is_floating_point() else _one_hot(logits, y)
        return 0.5 * (logits - target).square().sum(dim=1).mean()


class OneVsRest(Loss):
    """The sum of a binary logistic loss for each class.

    Of a linear model, as many regressions that share nothing but the rows.
    """

    name = "one_vs_rest"
    title = "one-vs-rest logistic"
    source = "the suite's own"

    @classmethod
    def mean(cls, logits: Tensor, y: Tensor) -> Tensor:
        # ln(1 + e^z) - y z; F.softplus would be linear, and off by 2e-9, from 20 on
        return -(F.logsigmoid(-logits) + _one_hot(logits, y) * logits).sum(dim=1).mean()


def _one_hot(logits: Tensor, y: Tensor) -> Tensor:
    # F.one_hot looks at the values of y, which a batched program (vmap) does not allow.
    return torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)[y]

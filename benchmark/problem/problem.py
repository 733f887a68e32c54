"""A learning problem: data, model, objective, training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.hessian import Hessian
from benchmark.curvature.linear import LinearHessian
from benchmark.problem.model import Model
from benchmark.problem.objective import Objective
from benchmark.problem.rows import Rows
from benchmark.problem.training import Training


@dataclass(frozen=True)
class Problem:
    """What a method is given to work on.

    Attributes:
        model: the architecture, a function of flat weights (d,).
        objective: the loss that is trained, differentiated twice and certified.
        training: the algorithm A of the theory: from rows to weights.
        train: rows that may be trained on; indices into it name data points.
        negatives: rows like the training rows that are never trained on (for attacks).
        test: rows for utility.
    """

    model: Model
    objective: Objective
    training: Training
    train: Rows
    negatives: Rows
    test: Rows

    @property
    def device(self) -> torch.device:
        return self.train.x.device

    @property
    def dtype(self) -> torch.dtype:
        return self.train.x.dtype

    @property
    def strong_convexity(self) -> float | None:
        """Mu of the objective, exact: the ridge on a linear model; None where there is none."""
        return self.objective.ridge if self.model.spec.linear and self.objective.ridge else None

    def data_loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The mean loss on `rows` without the ridge, a scalar."""
        return self.objective.data_term(self.model(weights, rows.x), rows.y)

    def loss(self, weights: Tensor, rows: Rows) -> Tensor:
        """The whole objective L(w, rows), a scalar."""
        return self.data_loss(weights, rows) + self.objective.penalty(weights)

    def gradient(self, weights: Tensor, rows: Rows) -> Tensor:
        """Grad L(w, rows), (d,)."""
        w = weights.detach().requires_grad_()
        return torch.autograd.grad(self.loss(w, rows), w)[0]

    def hessian(self, weights: Tensor, rows: Rows) -> Hessian | LinearHessian:
        """Hess L(w, rows) as an operator on (d,); it holds the gradient as well."""
        if self.model.spec.linear:
            loss, ridge = self.objective.loss, self.objective.ridge
            return LinearHessian(rows.x, rows.y, weights, loss=loss, ridge=ridge)
        return Hessian(lambda w: self.loss(w, rows), weights)

    def fit(
        self,
        index: Tensor,
        generator: torch.Generator,
        *,
        start: Tensor | None = None,
        effort: float = 1.0,
    ) -> Tensor:
        """Train on the training rows `index` (n,) and return weights (d,).

        Args:
            index: rows of `train`.
            generator: drives initialisation and batches.
            start: weights to go on from; a fresh initialisation if None.
            effort: share of the training's epochs; a training to convergence ignores it.

        Raises:
            DidNotConverge: if the training is held to a tolerance and misses it.
        """
        if start is None:
            start = self.model.initial_weights(generator).to(self.device, self.dtype)
        return self.training.fit(self, start, self.train.take(index), generator, effort)

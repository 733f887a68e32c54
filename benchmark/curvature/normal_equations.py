"""The sums that a ridge regression follows from, on one-hot labels or on a real target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from benchmark.curvature.pending import Pending
from benchmark.curvature.symmetric import Cholesky, Symmetric
from benchmark.errors import AssumptionBroken


@dataclass(frozen=True)
class NormalEquations:
    """S = sum of x x^T and B = sum of y x^T over rows x with a 1 for the bias, labels y one-hot.

    A real target y is a number in -1..1, and there is one class, its one row of B.

    The minimiser V (classes, m) of the mean of ||V x - y||^2 / 2, plus (ridge / 2) ||V||^2, solves
    V (S + n ridge I) = B: the ridge of a mean counts n times in the sum, so it is added when the
    system is solved and is no part of what is kept.
    Where the rows are multiples of a power of two, of bounded size, the sums are exact and the
    same bytes whatever the order: see `benchmark.problem.fixed_point`.

    Attributes:
        gram: S, (m, m) float64; rows that leave or come may wait where that is asked for.
        moments: B, (classes, m) float64.
        rows: n.
    """

    gram: Symmetric | Pending
    moments: Tensor
    rows: int

    @classmethod
    def of(cls, x: Tensor, y: Tensor, classes: int) -> Self:
        """The sums over rows `x` (n, inputs) float64 without their bias, and labels `y` (n,).

        Real targets are float64, and `classes` is 1.
        """
        inputs = x.shape[1]
        lower = x.new_zeros(inputs + 1, inputs + 1)
        lower[:inputs, :inputs] = Symmetric.gram(x).lower
        lower[inputs, :inputs] = x.sum(dim=0)
        lower[inputs, inputs] = len(x)
        moments = x.new_zeros(classes, inputs + 1)
        if y.is_floating_point():
            moments[0, :inputs], moments[0, inputs] = y @ x, y.sum()
        else:
            moments[:, :inputs].index_add_(0, y, x)
            moments[:, inputs] = torch.bincount(y, minlength=classes)
        # a sum of no positive and no negative number is 0, never -0
        return cls(Symmetric(lower.add_(0.0)), moments.add_(0.0), len(x))

    def without(self, x: Tensor, y: Tensor) -> Self:
        """The sums without some of their rows: nothing else is read, and nothing is changed.

        Args:
            x: (k, inputs) float64, rows without their bias.
            y: (k,) their labels.
        """
        rows = with_bias(x)
        moments = _added(self.moments, y, rows, -1)
        return type(self)(self.gram.plus(-1.0, rows), moments, self.rows - len(rows))

    def including(self, x: Tensor, y: Tensor) -> Self:
        """The sums with more rows: nothing else is read, and nothing is changed.

        Args:
            x: (k, inputs) float64, rows without their bias.
            y: (k,) their labels.
        """
        rows = with_bias(x)
        moments = _added(self.moments, y, rows, 1)
        return type(self)(self.gram.plus(1.0, rows), moments, self.rows + len(rows))

    @property
    def waiting(self) -> Self:
        """The same sums, where rows that leave or come wait for others."""
        gram = self.gram.whole if isinstance(self.gram, Pending) else self.gram
        return replace(self, gram=Pending.of(gram))

    @property
    def pending(self) -> int:
        """How many rows wait to be subtracted, or to be added."""
        return len(self.gram.rows) if isinstance(self.gram, Pending) else 0

    def factor(self, ridge: float) -> Cholesky:
        """The Cholesky factor of S + n ridge I.

        Raises:
            AssumptionBroken: if that is not positive definite in float64.
        """
        factor = self.gram.cholesky(self.rows * ridge)
        if factor is None:
            raise AssumptionBroken(
                f"the normal equations are singular in float64 at ridge {ridge:.3g}: raise it"
            )
        return factor

    def inverse(self, ridge: float) -> Symmetric:
        """The inverse of S + n ridge I, in float32 where that is positive definite in it.

        Raises:
            AssumptionBroken: see `factor`.
        """
        single = self.gram.to(torch.float32).cholesky(self.rows * ridge)
        return (single or self.factor(ridge)).inverse()

    def residual(self, ridge: float, solution: Tensor) -> Tensor:
        """B - V (S + n ridge I) for V (classes, m): minus n times the gradient of the mean."""
        shifted = solution * (self.rows * ridge)
        return self.moments - shifted.add_(self.gram.product(solution))


def _added(moments: Tensor, y: Tensor, rows: Tensor, sign: int) -> Tensor:
    """B (classes, m) with the moments of rows (k, m) and their labels (k,) added or subtracted."""
    if y.is_floating_point():
        return moments.add(y @ rows, alpha=sign)
    return moments.index_add(0, y, rows, alpha=sign)


def with_bias(x: Tensor) -> Tensor:
    """Rows (k, inputs) with a column of ones, (k, inputs + 1)."""
    return torch.cat([x, x.new_ones(len(x), 1)], dim=1)


def matrix(weights: Tensor, classes: int) -> Tensor:
    """V (classes, m) from flat weights (d,), the rows of W and then b."""
    inputs = len(weights) // classes - 1
    split = classes * inputs
    return torch.cat([weights[:split].view(classes, inputs), weights[split:, None]], dim=1)


def flat(solution: Tensor) -> Tensor:
    """Flat weights (d,), the rows of W and then b, from V (classes, m)."""
    return torch.cat([solution[:, :-1].flatten(), solution[:, -1]])

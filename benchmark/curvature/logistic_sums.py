"""The sums that a Newton step of one-vs-rest logistic regressions follows from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from benchmark.curvature.normal_equations import with_bias
from benchmark.curvature.output_loss import loss_error
from benchmark.curvature.pending import Pending
from benchmark.curvature.symmetric import Cholesky, Symmetric
from benchmark.curvature.woodbury import Inverse
from benchmark.errors import AssumptionBroken, present

#: Rows that are weighted and multiplied at a time.
CHUNK = 4096


@dataclass(frozen=True)
class LogisticSums:
    """First derivatives at one point, second ones at another, as sums over rows.

    Rows x have a 1 for the bias, p = sigma(V x) for V (classes, m), y is one-hot. For each class k

        g_k = sum of (p_k - y_k) x,   S_k = sum of p_k (1 - p_k) x x^T,

    without the ridge, which counts n times in a sum over n rows and is added when it is used.

    Attributes:
        base: (classes, m) V of the first derivatives.
        bent: (classes, m) V of the second ones.
        gradient: (classes, m) float64, g.
        curvature: S_k of each class, (m, m) float64; rows that were taken out may wait.
        rows: n.
    """

    base: Tensor
    bent: Tensor
    gradient: Tensor
    curvature: tuple[Pending, ...]
    rows: int

    @classmethod
    def of(cls, x: Tensor, y: Tensor, base: Tensor) -> Self:
        """The sums over rows `x` (n, inputs) float64 without their bias, and labels `y` (n,)."""
        gradient = torch.zeros_like(base)
        curvature = [Symmetric(base.new_zeros(base.shape[1], base.shape[1])) for _ in base]
        for part, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
            rows = with_bias(part)
            error, p = loss_error("one_vs_rest", base @ rows.T, labels)
            gradient += error @ rows
            for k, bent in enumerate(_bent(rows, present(p))):
                curvature[k] = curvature[k].plus(1.0, bent)
        return cls(base, base, gradient, tuple(map(Pending.of, curvature)), len(x))

    def without(self, x: Tensor, y: Tensor) -> tuple[Self, Tensor]:
        """The sums without some of their rows: nothing else is read, and nothing is changed.

        Args:
            x: (n_u, inputs) float64, rows without their bias.
            y: (n_u,) their labels.

        Returns:
            The sums, and sqrt(p (1 - p)) of the rows where the second derivatives are taken,
            (classes, n_u): what an inverse is downdated with.
        """
        rows = with_bias(x)
        error, p = loss_error("one_vs_rest", self.base @ rows.T, y)
        p = present(p) if self.bent is self.base else (self.bent @ rows.T).sigmoid()
        curvature = tuple(
            one.plus(-1.0, bent) for one, bent in zip(self.curvature, _bent(rows, p), strict=True)
        )
        left = replace(
            self,
            gradient=self.gradient - error @ rows,
            curvature=curvature,
            rows=self.rows - len(rows),
        )
        return left, (p * (1 - p)).sqrt()

    @property
    def pending(self) -> int:
        """How many rows wait to be taken out of the second derivatives."""
        return max(len(one.rows) for one in self.curvature)

    def moved(self, base: Tensor, gradient: Tensor) -> Self:
        """The sums with first derivatives `gradient` (classes, m) at another point `base`."""
        return replace(self, base=base, gradient=gradient)

    def slope(self, ridge: float) -> Tensor:
        """(classes, m) n times the gradient of the mean at the base, ridge and all."""
        return self.gradient + (self.rows * ridge) * self.base

    def times(self, ridge: float, step: Tensor) -> Tensor:
        """Product n A x with x (classes, m): each class's (S_k + n ridge I) x_k."""
        if not step.any():  # as before a first step: no matrix needs to be read
            return torch.zeros_like(step)
        pairs = zip(self.curvature, step.split(1), strict=True)
        product = torch.cat([one.product(x) for one, x in pairs])
        return product.add_(step, alpha=self.rows * ridge)

    def inverses(self, ridge: float) -> tuple[Inverse, ...]:
        """About (S_k + n ridge I)^-1 of each class, in float32 where that is definite in it.

        Raises:
            AssumptionBroken: if it is not positive definite in float64 either.
        """
        return tuple(Inverse.of(self._factor(one, ridge).inverse()) for one in self.curvature)

    def _factor(self, one: Pending, ridge: float) -> Cholesky:
        shift = self.rows * ridge
        whole = one.whole
        factor = whole.to(torch.float32).cholesky(shift) or whole.cholesky(shift)
        if factor is None:
            raise AssumptionBroken(
                f"the Hessian is singular in float64 at ridge {ridge:.3g}: raise the ridge"
            )
        return factor


def solve(inverses: tuple[Inverse, ...], b: Tensor) -> Tensor:
    """Each class's inverse times its row of `b` (classes, m)."""
    pairs = zip(inverses, b.split(1), strict=True)
    return torch.cat([one.solve(row) for one, row in pairs])


def _bent(rows: Tensor, p: Tensor) -> Iterator[Tensor]:
    """For each class the rows (n, m) times sqrt(p (1 - p)), of p (classes, n)."""
    for weight in (p * (1 - p)).sqrt():
        yield rows * weight.unsqueeze(1)

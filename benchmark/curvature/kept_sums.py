"""Sums over rows that are kept: of ridge regressions, of logistic regressions, and leverage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from benchmark.curvature.output_loss import loss_error
from benchmark.curvature.symmetric import Cholesky, Inverse, Pending, Symmetric
from benchmark.errors import AssumptionBroken, present

# The sums that a ridge regression on one-hot labels follows from.


@dataclass(frozen=True)
class NormalEquations:
    """S = sum of x x^T and B = sum of y x^T over rows x with a 1 for the bias, labels y one-hot.

    A real target y is a number in -1..1, and there is one class, its one row of B.

    The minimiser V (classes, m) of the mean of ||V x - y||^2 / 2, plus (ridge / 2) ||V||^2, solves
    V (S + n ridge I) = B: the ridge of a mean counts n times in the sum, so it is added when the
    system is solved and is no part of what is kept.
    Where the rows are multiples of a power of two, of bounded size, the sums are exact and the
    same bytes whatever the order: see `benchmark.rows`.

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


# The sums that a Newton step of one-vs-rest logistic regressions follows from.

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


# Leverage of rows in the Hessians of one-vs-rest logistic regressions.


@dataclass(frozen=True)
class Leverage:
    """The largest x.A^-1 x of any row x, for the mean Hessian A of each class before rows left.

    Attributes:
        largest: (classes,) float64, bounds on the root of it.
        curvature: of each class, the sum over all rows without the ridge.
        rows: n.
    """

    largest: Tensor
    curvature: tuple[Pending, ...]
    rows: int

    @classmethod
    def of(
        cls, x: Tensor, index: Tensor, sums: LogisticSums, *, ridge: float, margin: float
    ) -> Self:
        """The largest of rows `index` (n,) of `x` (rows, inputs) float64, which `sums` are over.

        Args:
            x: rows without their bias.
            index: of the rows that were summed up.
            sums: over them.
            ridge: of the mean.
            margin: what round-off may take away of x.A^-1 x, as a share of it.

        Raises:
            AssumptionBroken: if A is not positive definite in float64.
        """
        largest = x.new_zeros(len(sums.base))
        for k, one in enumerate(sums.curvature):
            factor = one.cholesky(sums.rows * ridge)
            if factor is None:
                raise AssumptionBroken(
                    f"the Hessian is singular in float64 at ridge {ridge:.3g}: raise the ridge"
                )
            for part in index.split(CHUNK):
                found = factor.half(with_bias(x[part]).T).square().sum(dim=0)
                largest[k] = torch.maximum(largest[k], found.max())
        largest.mul_(sums.rows * (1 + margin)).sqrt_()
        return cls(largest, sums.curvature, sums.rows)

    def energy(self, k: int, step: Tensor, ridge: float) -> float:
        """The energy x.A x of x = `step` (m,), of class `k`."""
        product = self.curvature[k].product(step.unsqueeze(0))[0]
        return float(step.dot(product)) / self.rows + ridge * float(step.dot(step))

    def gone(self, k: int, sums: LogisticSums) -> float:
        """The trace of what is in the sum of class `k` and no longer in `sums`, over fewer rows."""
        return max(0.0, self.curvature[k].trace - sums.curvature[k].trace)

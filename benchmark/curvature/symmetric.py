"""Symmetric matrices by their lower triangle, with rows still to be added, and their inverses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor

# Symmetric matrices by their lower triangle, with the products of BLAS that read only that.


@dataclass(frozen=True)
class Symmetric:
    """A symmetric matrix. On a CPU a rank-k update takes half of a product's work.

    Nothing is ever changed in place: each operation returns a matrix of its own.

    Attributes:
        lower: (m, m) float32 or float64, the lower triangle; zeros above it.
    """

    lower: Tensor

    @classmethod
    def gram(cls, rows: Tensor) -> Symmetric:
        """Sum of x x^T over the `rows` (n, m)."""
        if rows.device.type != "cpu":
            return cls((rows.mT @ rows).tril())
        # BLAS stores by columns: its upper triangle is the lower one by rows.
        return cls(_tensor(_blas("syrk", rows)(1.0, rows.contiguous().numpy().T, lower=0)))

    def plus(self, scale: float, rows: Tensor) -> Symmetric:
        """The matrix + scale * sum of x x^T over the `rows` (k, m)."""
        if len(rows) == 0:
            return self
        if rows.device.type != "cpu":
            return Symmetric(self.lower.addmm(rows.mT, rows, alpha=scale).tril())
        copy, array = _copy(self.lower), rows.contiguous().numpy()
        if len(array) == 1:
            changed = _blas("syr", self.lower)(scale, array[0], lower=0, a=copy, overwrite_a=1)
        else:
            update = _blas("syrk", self.lower)
            changed = update(scale, rows.T, beta=1.0, c=copy, lower=0, overwrite_c=1)
        return Symmetric(_tensor(changed))

    def to(self, dtype: torch.dtype) -> Symmetric:
        """The same matrix in another precision."""
        return Symmetric(self.lower.to(dtype))

    def product(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the matrix, (k, m)."""
        if vectors.device.type != "cpu":
            return vectors @ (self.lower + self.lower.tril(-1).mT)
        matrix, array = self.lower.numpy().T, vectors.contiguous().numpy()
        if len(array) == 1:
            product = _blas("symv", self.lower)(1.0, matrix, array[0], lower=0)
            return torch.from_numpy(product).unsqueeze(0)
        return _tensor(_blas("symm", self.lower)(1.0, matrix, array.T, lower=0))

    def cholesky(self, shift: float = 0.0) -> Cholesky | None:
        """The factor of the matrix + shift * I.

        None where that is not positive definite in its precision.
        """
        if self.lower.device.type != "cpu":
            shifted = self.lower + shift * torch.eye(len(self.lower)).to(self.lower)
            lower, failed = torch.linalg.cholesky_ex(shifted)
            return None if failed else Cholesky(lower)
        copy = _copy(self.lower)
        np.einsum("ii->i", copy)[:] += shift
        factor, failed = _lapack("potrf", self.lower)(copy, lower=0, clean=0, overwrite_a=1)
        return None if failed else Cholesky(_tensor(factor))


@dataclass(frozen=True)
class Cholesky:
    """A positive definite matrix L L^T, factorised.

    Attributes:
        lower: (m, m), L; zeros above its triangle.
    """

    lower: Tensor

    def solve(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the inverse, (k, m)."""
        if vectors.device.type != "cpu":
            return torch.cholesky_solve(vectors.mT, self.lower).mT
        array = vectors.contiguous().numpy().T
        found, _ = _lapack("potrs", self.lower)(self.lower.numpy().T, array, lower=0)
        return _tensor(found)

    def half(self, vectors: Tensor) -> Tensor:
        """L^-1 times `vectors` (m, k), (m, k)."""
        return torch.linalg.solve_triangular(self.lower, vectors, upper=False)

    def inverse(self) -> Symmetric:
        """The inverse of the matrix."""
        if self.lower.device.type != "cpu":
            return Symmetric(torch.cholesky_inverse(self.lower).tril())
        copy = _copy(self.lower)
        inverse, _ = _lapack("potri", self.lower)(copy, lower=0, overwrite_c=1)
        return Symmetric(_tensor(inverse))


def _copy(matrix: Tensor) -> np.ndarray:
    """The same numbers, by columns and so transposed.

    NumPy asks for huge pages, which torch does not: new memory is there in half the time.
    """
    return matrix.numpy().copy().T


def _tensor(by_columns: np.ndarray) -> Tensor:
    """The matrix that BLAS left by columns, by rows and so transposed."""
    return torch.from_numpy(by_columns.T)


def _blas(name: str, like: Tensor) -> Callable[..., np.ndarray]:
    return getattr(blas, _letter(like) + name)


def _lapack(name: str, like: Tensor) -> Callable[..., tuple[np.ndarray, int]]:
    return getattr(lapack, _letter(like) + name)


def _letter(like: Tensor) -> str:
    return "d" if like.dtype == torch.float64 else "s"


# A symmetric matrix with rows still to be added to it, so that a small change costs no copy.

#: Rows that may wait. Beyond them a product with all of them takes as long as adding them.
LIMIT = 128


@dataclass(frozen=True)
class Pending:
    """A + scale * sum of x x^T over some rows, where the sum is carried out by products alone.

    A copy of a large matrix takes as long as many products with it, because its memory is new. So
    rows wait until they are more than `LIMIT`, or until others come with another scale. Nothing is
    ever changed in place. What a product loses to the wait is `lost_to_waiting` of
    benchmark/theory/round_off.py. Whoever proves something by it has to charge for that.

    Attributes:
        matrix: A.
        rows: (k, m), that wait.
        scale: of all of them.
    """

    matrix: Symmetric
    rows: Tensor
    scale: float = 1.0

    @classmethod
    def of(cls, matrix: Symmetric) -> Pending:
        """The matrix, with no rows that wait."""
        return cls(matrix, matrix.lower[:0])

    @property
    def whole(self) -> Symmetric:
        """The sum, carried out."""
        return self.matrix.plus(self.scale, self.rows)

    @property
    def lower(self) -> Tensor:
        """(m, m), the lower triangle of the sum."""
        return self.whole.lower

    @property
    def trace(self) -> float:
        """The trace of the sum."""
        waiting = self.scale * float(self.rows.square().sum())
        return float(self.matrix.lower.diagonal().sum()) + waiting

    def plus(self, scale: float, rows: Tensor) -> Pending:
        """The matrix + scale * sum of x x^T over the `rows` (k, m)."""
        if len(self.rows) and scale != self.scale:
            return Pending.of(self.whole).plus(scale, rows)
        waiting = torch.cat([self.rows, rows.to(self.rows)])
        if len(waiting) > LIMIT:
            return Pending.of(self.matrix.plus(scale, waiting))
        return replace(self, rows=waiting, scale=scale)

    def product(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the matrix, (k, m)."""
        product = self.matrix.product(vectors)
        if len(self.rows):
            product.addmm_(vectors @ self.rows.mT, self.rows, alpha=self.scale)
        return product

    def to(self, dtype: torch.dtype) -> Symmetric:
        """The same matrix in another precision."""
        return self.whole.to(dtype)

    def cholesky(self, shift: float = 0.0) -> Cholesky | None:
        """See `Symmetric.cholesky`."""
        return self.whole.cholesky(shift)


@dataclass(frozen=True)
class Inverse:
    """B -> about B A^-1 for a positive definite A: what it gets wrong shows in the residual.

    Attributes:
        matrix: (m, m), float32 or float64.
    """

    matrix: Pending

    @classmethod
    def of(cls, matrix: Symmetric) -> Inverse:
        """About the inverse of A, as a matrix."""
        return cls(Pending.of(matrix))

    def without(self, rows: Tensor) -> Inverse | None:
        """The inverse of A - sum of x x^T over `rows` (k, m), by Woodbury's identity.

        (A - X^T X)^-1 = A^-1 + Z^T Z with Z = L^-1 X A^-1 and L L^T = I - X A^-1 X^T. None where
        round-off leaves no such L.
        """
        rows = rows.to(self.matrix.rows)
        solved = self.matrix.product(rows)
        left = -(solved @ rows.T)
        left.diagonal().add_(1.0)
        factor = Symmetric(left.tril()).cholesky()
        return None if factor is None else Inverse(self.matrix.plus(1.0, factor.half(solved)))

    def solve(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the inverse, (k, m), in the precision of the vectors."""
        return self.matrix.product(vectors.to(self.matrix.rows)).to(vectors.dtype)

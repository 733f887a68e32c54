"""Symmetric matrices by their lower triangle, with the products of BLAS that read only that."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.linalg import blas, lapack
from torch import Tensor


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
        copy, rows = self.lower.clone().numpy().T, rows.contiguous().numpy()
        if len(rows) == 1:
            changed = _blas("syr", self.lower)(scale, rows[0], lower=0, a=copy, overwrite_a=1)
        else:
            update = _blas("syrk", self.lower)
            changed = update(scale, rows.T, beta=1.0, c=copy, lower=0, overwrite_c=1)
        return Symmetric(_tensor(changed))

    def shifted(self, shift: float) -> Symmetric:
        """The matrix + shift * I."""
        lower = self.lower.clone()
        lower.diagonal().add_(shift)
        return Symmetric(lower)

    def to(self, dtype: torch.dtype) -> Symmetric:
        """The same matrix in another precision."""
        return Symmetric(self.lower.to(dtype))

    def product(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the matrix, (k, m)."""
        if vectors.device.type != "cpu":
            return vectors @ (self.lower + self.lower.tril(-1).mT)
        matrix, vectors = self.lower.numpy().T, vectors.contiguous().numpy()
        if len(vectors) == 1:
            product = _blas("symv", self.lower)(1.0, matrix, vectors[0], lower=0)
            return torch.from_numpy(product).unsqueeze(0)
        return _tensor(_blas("symm", self.lower)(1.0, matrix, vectors.T, lower=0))

    def cholesky(self) -> Cholesky | None:
        """Its factor; None where the matrix is not positive definite in its precision."""
        if self.lower.device.type != "cpu":
            lower, failed = torch.linalg.cholesky_ex(self.lower)
            return None if failed else Cholesky(lower)
        copy = self.lower.clone().numpy().T
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
        vectors = vectors.contiguous().numpy().T
        found, _ = _lapack("potrs", self.lower)(self.lower.numpy().T, vectors, lower=0)
        return _tensor(found)

    def half(self, vectors: Tensor) -> Tensor:
        """L^-1 times `vectors` (m, k), (m, k)."""
        return torch.linalg.solve_triangular(self.lower, vectors, upper=False)

    def inverse(self) -> Symmetric:
        """The inverse of the matrix."""
        if self.lower.device.type != "cpu":
            return Symmetric(torch.cholesky_inverse(self.lower).tril())
        copy = self.lower.clone().numpy().T
        inverse, _ = _lapack("potri", self.lower)(copy, lower=0, overwrite_c=1)
        return Symmetric(_tensor(inverse))


def _tensor(by_columns: object) -> Tensor:
    """The matrix that BLAS left by columns, by rows and so transposed."""
    return torch.from_numpy(by_columns.T)


def _blas(name: str, like: Tensor) -> object:
    return getattr(blas, _letter(like) + name)


def _lapack(name: str, like: Tensor) -> object:
    return getattr(lapack, _letter(like) + name)


def _letter(like: Tensor) -> str:
    return "d" if like.dtype == torch.float64 else "s"

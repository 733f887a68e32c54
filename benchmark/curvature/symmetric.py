"""Symmetric matrices by their lower triangle, with the products of BLAS that read only that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
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

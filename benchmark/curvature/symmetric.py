"""Symmetric matrices by their lower triangle, with rows still to be added, and their inverses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import blas, lapack
from torch import Tensor

# Symmetric matrices by their lower triangle, with the products of BLAS that read only that.

#: Vectors up to which a product with a matrix of `LARGE` rows or more goes by blocks of `ROWS`
#: rows, which stay in the cache. With 10 vectors and 7,947 rows it took 55 ms, and BLAS 125 ms.
FEW, LARGE, ROWS = 32, 2048, 64


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
        if len(array) <= FEW and self.by_blocks:
            product = np.zeros_like(array)
            for start, block in self.blocks():
                _add_product(product, array, start, block)
            return torch.from_numpy(product)
        return _tensor(_blas("symm", self.lower)(1.0, matrix, array.T, lower=0))

    def cut(self, step: float) -> Cut:
        """The matrix to the nearest `step`, and what that leaves.

        Args:
            step: a power of two of the size of the entries, or below.
        """
        if self.by_blocks:
            return Cut(self, step)
        upper = self.lower.add(_rounding(step)).sub_(_rounding(step)).tril_()
        return Cut(self, step, (Symmetric(upper), Symmetric(self.lower - upper)))

    @property
    def by_blocks(self) -> bool:
        """Whether products go by blocks: of a matrix of `LARGE` rows or more, on a CPU."""
        return self.lower.device.type == "cpu" and len(self.lower) >= LARGE

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Pairs of a first row and a block of `ROWS` rows up to the end of the triangle."""
        for start in range(0, len(self.lower), ROWS):
            end = min(start + ROWS, len(self.lower))
            yield start, self.lower[start:end, :end].numpy()

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
class Cut:
    """A symmetric matrix to the nearest multiple of a step, and what that leaves.

    Attributes:
        matrix: to cut.
        step: a power of two.
        parts: the two matrices; None where they are made block by block, for each product.
    """

    matrix: Symmetric
    step: float
    parts: tuple[Symmetric, Symmetric] | None = None

    def products(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """`vectors` (k, m) times either part, (k, m)."""
        if self.parts is not None:
            return self.parts[0].product(vectors), self.parts[1].product(vectors)
        array, shift = vectors.contiguous().numpy(), _rounding(self.step)
        products = np.zeros_like(array), np.zeros_like(array)
        room = np.empty((2, ROWS * array.shape[1]))
        for start, block in self.matrix.blocks():
            upper, lower = room[:, : block.size].reshape(2, *block.shape)
            np.add(block, shift, out=upper)
            np.subtract(upper, shift, out=upper)
            np.subtract(block, upper, out=lower)
            _add_product(products[0], array, start, upper)
            _add_product(products[1], array, start, lower)
        return torch.from_numpy(products[0]), torch.from_numpy(products[1])


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


def _rounding(step: float) -> float:
    """A number that, added to one in float64 and subtracted again, leaves a multiple of `step`."""
    return 1.5 * 2.0**52 * step


def _add_product(to: np.ndarray, vectors: np.ndarray, start: int, block: np.ndarray) -> None:
    """Add to `to` (k, m) what rows of a triangle from `start` on give of `vectors` (k, m) times it.

    Args:
        to: changed in place.
        vectors: (k, m).
        start: of the rows.
        block: (rows, start + rows) of the lower triangle.
    """
    end = start + len(block)
    left, corner, own = block[:, :start], block[:, start:], vectors[:, start:end]
    to[:, start:end] += vectors[:, :start] @ left.T + own @ (corner + np.tril(corner, -1).T)
    to[:, :start] += own @ left


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
    def diagonal(self) -> Tensor:
        """The diagonal of the sum, (m,)."""
        return self.matrix.lower.diagonal() + self.scale * self.rows.square().sum(dim=0)

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


#: Bits to which an inverse makes good that the ridge is less by now.
SOLVED = 18


@dataclass(frozen=True)
class Inverse:
    """B -> about B A^-1 for a positive definite A: what it gets wrong shows in the residual.

    Attributes:
        matrix: (m, m), float32 or float64: about the inverse of A + fallen * I.
        least: bound that no eigenvalue of A + fallen * I is below; looked at only where `fallen` is
            not 0.
        fallen: how much the ridge in A is less by now; half of `least` at most.
    """

    matrix: Pending
    least: float = 1.0
    fallen: float = 0.0

    @classmethod
    def of(cls, matrix: Symmetric, least: float = 1.0) -> Inverse:
        """About the inverse of A, as a matrix, where no eigenvalue of A is below `least`."""
        return cls(Pending.of(matrix), least)

    def without(self, rows: Tensor, ridge: float = 0.0) -> Inverse | None:
        """The inverse of A - sum of x x^T over `rows` (k, m) - ridge * I."""
        return self._changed(-1.0, rows, ridge)

    def including(self, rows: Tensor, ridge: float = 0.0) -> Inverse | None:
        """The inverse of A + sum of x x^T over `rows` (k, m) + ridge * I."""
        return self._changed(1.0, rows, -ridge)

    def _changed(self, sign: float, rows: Tensor, ridge: float) -> Inverse | None:
        """The inverse of A + sign * sum of x x^T - ridge * I, by Woodbury's identity for the sum.

        (A + s X^T X)^-1 = A^-1 - s Z^T Z with Z = L^-1 X A^-1 and L L^T = I + s X A^-1 X^T. None
        where round-off leaves no such L, or half of the ridge is gone.
        """
        fallen, rows = self.fallen + ridge, rows.to(self.matrix.rows)
        if abs(fallen) > self.least / 2:
            return None
        solved = self.matrix.product(rows)
        left = sign * (solved @ rows.T)
        left.diagonal().add_(1.0)
        factor = Symmetric(left.tril()).cholesky()
        if factor is None:
            return None
        matrix = self.matrix.plus(-sign, factor.half(solved))
        return replace(self, matrix=matrix, fallen=fallen)

    def solve(self, vectors: Tensor) -> Tensor:
        """`vectors` (k, m) times the inverse, (k, m), in the precision of the vectors.

        With the inverse M of A + c I and its smallest eigenvalue s, each step y += t M r and
        r = (1 - t) r + c t M r, where t is 1 / (1 - c / 2s), leaves c / (2s - c) of the error.
        """
        left = vectors.to(self.matrix.rows)
        half = self.fallen / self.least / 2
        scale = 1 / (1 - half)
        found = self.matrix.product(left) * scale
        step = found
        for _ in range(self._more_steps(half)):
            left = (1 - scale) * left + self.fallen * step
            step = self.matrix.product(left) * scale
            found = found + step
        return found.to(vectors.dtype)

    def _more_steps(self, half: float) -> int:
        """How many more steps make the change of the ridge good to about `SOLVED` bits."""
        return 0 if half == 0 else math.ceil(SOLVED / max(1.0, -math.log2(abs(half)))) - 1

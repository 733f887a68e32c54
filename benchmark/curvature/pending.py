"""A symmetric matrix with rows still to be added to it, so that a small change costs no copy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmark.curvature.symmetric import Cholesky, Symmetric

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

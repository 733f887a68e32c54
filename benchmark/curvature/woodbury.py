"""An inverse that is downdated with every row that leaves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.curvature.pending import Pending
from benchmark.curvature.symmetric import Symmetric


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

"""The Hessian on the rows that are kept, from the one on all rows and the one on the others."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.curvature.hessian import Differentiated


@dataclass(frozen=True)
class Downdated:
    """(n H_all - m H_left) / (n - m): the rows that are kept are never copied.

    True of means over rows plus one and the same ridge, and of their gradients alike.

    Attributes:
        whole: Hessian and gradient of the mean over all n rows.
        left: of the mean over the m rows that are left out, at the same weights.
        rows: n.
        left_rows: m, below n.
    """

    whole: Differentiated
    left: Differentiated
    rows: int
    left_rows: int

    @property
    def gradient(self) -> Tensor:
        """(d,) gradient of the mean over the kept rows."""
        return self._kept(self.whole.gradient, self.left.gradient)

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self._kept(self.whole @ vector, self.left @ vector)

    def _kept(self, whole: Tensor, left: Tensor) -> Tensor:
        return downdated(whole, left, self.rows, self.left_rows)


def downdated(whole: Tensor, left: Tensor, rows: int, left_rows: int) -> Tensor:
    """The mean over n - m rows, from the mean `whole` over n and the mean `left` over m."""
    return (rows * whole - left_rows * left) / (rows - left_rows)


def exchanged(
    whole: Tensor, old: Tensor, new: Tensor, *, rows: int, old_rows: int, new_rows: int
) -> Tensor:
    """The mean over n - m + c rows: `whole` over n, of which m go, `old`, and c come, `new`."""
    total = rows * whole - old_rows * old + new_rows * new
    return total / (rows - old_rows + new_rows)

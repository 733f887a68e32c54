"""Leverage of rows in the Hessians of one-vs-rest logistic regressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from benchmark.curvature.logistic_sums import CHUNK, LogisticSums
from benchmark.curvature.normal_equations import with_bias
from benchmark.curvature.pending import Pending
from benchmark.errors import AssumptionBroken


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

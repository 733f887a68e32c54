"""Features in fixed point, whose sums of products float64 holds without an error."""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.errors import AssumptionBroken

#: float64 has every integer up to this one.
_INTEGERS = 2**53
#: Rows that are checked at a time.
_CHUNK = 4096


class FixedPoint(BaseModel):
    """Features are multiples of 2^-bits between -clip and clip.

    Their products are multiples of 4^-bits. A sum of n of them has no rounding, in whatever order
    it is taken, while n clip^2 4^bits is at most 2^53.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: float = Field(16.0, gt=0, le=2.0**20)
    bits: int = Field(11, ge=0, le=26)

    def truncated(self, x: Tensor) -> Tensor:
        """`x` (n, ...) float64 clipped, and rounded towards zero: no row becomes longer."""
        # adding 0 turns -0 into 0
        return x.clamp(-self.clip, self.clip).mul_(self._units).trunc_().div_(self._units).add_(0.0)

    @property
    def of_targets(self) -> FixedPoint:
        """The form of real targets in -1..1 beside such features."""
        return self.model_copy(update={"clip": max(self.clip, 1.0)})

    def check(self, x: Tensor) -> None:
        """Refuse rows `x` (n, inputs) that are not in this form, or too many for exact sums.

        Raises:
            AssumptionBroken: if sums over the rows could be rounded.
        """
        largest = len(x) * max(self.clip, 1.0) ** 2 * self._units**2
        if largest > _INTEGERS:
            raise AssumptionBroken(
                f"sums over {len(x)} rows could reach 2^{math.log2(largest):.1f} units, and beyond "
                "2^53 float64 rounds: declare a smaller clip or fewer bits in problem.fixed_point"
            )
        for part in x.split(_CHUNK):
            if not torch.equal(self.truncated(part), part):
                raise AssumptionBroken(
                    f"features are declared as multiples of 2^-{self.bits} up to {self.clip:g}, "
                    "and a row is not: build the problem with problem.fixed_point"
                )

    @property
    def _units(self) -> float:
        return 2.0**self.bits

"""Labelled rows, and what is declared of them beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.sparse import SparseMatrix


@dataclass(frozen=True)
class Rows:
    """Inputs `x` (n, ...) in the problem's precision and labels `y` (n,) int64.

    Of a real target `y` is a number in -1..1, in the same precision.

    >>> rows = Rows(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    >>> len(rows), rows.largest_norm(bias=False)
    (2, 5.0)
    """

    x: Tensor
    y: Tensor
    #: `x` once more, of a linear head's training rows where most of it is zero; else None.
    sparse: SparseMatrix | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Forget the sparse form of other rows, as `replace(rows, x=...)` hands on."""
        if self.sparse is not None and self.sparse.dense is not self.x:
            object.__setattr__(self, "sparse", None)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> Rows:
        """The rows at `index` (m,) int64, as copies."""
        index = index.to(self.y.device)
        # index_select copies whole rows, twice as fast on a CPU as indexing
        x, y = self.x.index_select(0, index), self.y.index_select(0, index)
        return Rows(x, y, None if self.sparse is None else self.sparse.take(index, x))

    def split(self, size: int | None) -> list[Rows]:
        """Consecutive parts of `size` rows, the last one ragged; one part if None."""
        size = size or max(1, len(self))
        pairs = zip(self.x.split(size), self.y.split(size), strict=True)
        return [Rows(x, y) for x, y in pairs]

    def largest_norm(self, *, bias: bool) -> float:
        """R: the largest norm of a row; with a bias a layer sees one more column, of ones.

        Raises:
            LetheError: if there is no row.
        """
        if len(self) == 0:
            raise LetheError("no rows: their largest norm is not defined")
        squares = self.x.double().flatten(1).square().sum(dim=1)
        return math.sqrt(float(squares.max()) + (1 if bias else 0))

    def to(self, device: torch.device, dtype: torch.dtype) -> Rows:
        """The same rows on `device`, inputs and real targets in `dtype`."""
        y = self.y.to(device, dtype) if self.y.is_floating_point() else self.y.to(device)
        return Rows(self.x.to(device, dtype), y)


#: Of claims on a target whose range is read off rows that a request may name.
RANGE_CAVEAT = (
    "the range of the target is that of the numbers that occur, in rows that may be forgotten too"
)


@dataclass(frozen=True)
class RealTarget:
    """A column of real numbers that is predicted, scaled so that its range becomes -1..1.

    No scaled target is longer than a one-hot label, so that what is proved of squared loss on
    labels of norm 1 at most holds of both.

    Attributes:
        name: of the column, whose units errors are told in.
        low, high: what -1 and 1 stand for.
        declared: whether they are, or are numbers that occur, which are nobody's to print.

    >>> price = RealTarget("price", 100.0, 300.0)
    >>> price.scaled(np.array([100.0, 250.0])), price.in_units(np.array([0.5]))
    (array([-1. ,  0.5]), array([250.]))
    """

    name: str
    low: float
    high: float
    declared: bool = True

    @property
    def in_words(self) -> str:
        """Words for what is predicted, with its range where that is declared."""
        return f"a number from {self.low:g} to {self.high:g}" if self.declared else "a number"

    @property
    def middle(self) -> float:
        """Number, in the target's own units, that 0 stands for."""
        return self.low / 2 + self.high / 2

    @property
    def half(self) -> float:
        """Number of the target's own units that make one of the scale."""
        return self.high / 2 - self.low / 2

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """(n,) float64 in -1..1, of values within the range."""
        return np.clip((values - self.middle) / self.half, -1.0, 1.0) + 0.0

    def in_units(self, scaled: np.ndarray) -> np.ndarray:
        """(n,) float64 in the target's own units."""
        return self.middle + self.half * np.asarray(scaled, dtype=np.float64)


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
    def unit(self) -> float:
        """What all products of two features are multiples of: 4^-bits."""
        return self._units**-2

    @property
    def of_targets(self) -> FixedPoint:
        """The form of real targets in -1..1: as many bits, and clipped at 1 or above."""
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


@dataclass(frozen=True)
class Declared:
    """Bounds that hold for every data set of an experiment, whatever a request names.

    A number that follows from them is the same with the forgotten rows and without.

    Attributes:
        rows_at_least: rows that are left after any request; None where nothing is declared.
        feature_norm: no row of features is longer; None where the features have no bound.
        fixed_point: the form that features are in; None where they are any numbers.
        caveats: what was fitted on rows that a request may name, such as the scale of features:
            a claim about the weights holds on condition that it is taken for public.
    """

    rows_at_least: int | None = None
    feature_norm: float | None = None
    fixed_point: FixedPoint | None = None
    caveats: tuple[str, ...] = ()

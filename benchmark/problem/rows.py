"""Labelled rows, whole in memory or on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.errors import LetheError


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

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> Rows:
        """The rows at `index` (m,) int64, as copies."""
        index = index.to(self.y.device)
        # index_select copies whole rows, twice as fast on a CPU as indexing
        return Rows(self.x.index_select(0, index), self.y.index_select(0, index))

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

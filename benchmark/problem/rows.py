"""Labelled rows, whole in memory or on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Inputs `x` (n, ...) in the problem's precision and labels `y` (n,) int64."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> Rows:
        """The rows at `index` (m,), as copies."""
        index = index.to(self.y.device)
        return Rows(self.x[index], self.y[index])

    def to(self, device: torch.device, dtype: torch.dtype) -> Rows:
        """The same rows on `device`, inputs in `dtype`."""
        return Rows(self.x.to(device, dtype), self.y.to(device))

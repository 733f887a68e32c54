"""Memory that is taken once."""

from __future__ import annotations

import torch
from torch import Tensor


class Scratch:
    """Room for what is read at once and then forgotten: new memory costs more than writing to it.

    On a CPU the system clears every page of a large new tensor, which takes longer than the sum
    or product that it is for.
    """

    def __init__(self) -> None:
        self._rooms: dict[object, Tensor] = {}

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two tensors of one layout, good until the next one is asked for."""
        key = (a.shape, a.stride(), a.dtype)
        if key not in self._rooms:
            self._rooms[key] = torch.empty_like(a)
        return torch.mul(a, b, out=self._rooms[key])

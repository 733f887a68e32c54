"""An operator that makes do with the memory there is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from benchmark.curvature.hessian import Differentiated

T = TypeVar("T")


class WithinMemory:
    """Builds an operator anew with half the rows a chunk whenever the GPU's memory runs out.

    Args:
        build: the operator with so many rows a chunk; it keeps less, the fewer these are.
        chunk: rows to begin with.
    """

    def __init__(self, build: Callable[[int], Differentiated], chunk: int) -> None:
        self._build = build
        self._operator: Differentiated | None = None
        self.chunk = chunk
        self._gradient = self._fit(lambda operator: operator.gradient)

    @property
    def gradient(self) -> Tensor:
        """(d,)."""
        return self._gradient

    @property
    def importance(self) -> Tensor | None:
        """How much each row has to do with the operator, (n,), if that is known."""
        return self._fit(lambda operator: getattr(operator, "importance", None))

    def __matmul__(self, vector: Tensor) -> Tensor:
        return self._fit(lambda operator: operator @ vector)

    def _fit(self, work: Callable[[Differentiated], T]) -> T:
        """`work` done, with smaller chunks if it must be.

        Raises:
            torch.OutOfMemoryError: if one row a chunk is too much.
        """
        while True:
            try:
                self._operator = self._operator or self._build(self.chunk)
                return work(self._operator)
            except torch.OutOfMemoryError:
                if self.chunk == 1:
                    raise
                self._operator = None
                self.chunk //= 2
                warnings.warn(
                    f"out of memory: Hessian products go on with {self.chunk} rows a chunk",
                    stacklevel=2,
                )
                torch.cuda.empty_cache()

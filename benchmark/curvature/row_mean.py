"""A mean over rows, chunk by chunk, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from benchmark.curvature.chunks import slices
from benchmark.curvature.hessian import Differentiated
from benchmark.problem.rows import Rows


class RowMean:
    """The operator of all rows as the weighted mean of the operators of chunks, in order.

    Exact also where the last chunk is shorter. A ridge in every chunk's objective comes out once,
    because the weights of the chunks sum to one.

    Args:
        build: the operator of some rows, a mean over them.
        rows: n of them.
        chunk: rows a chunk. Bounds the memory of building one.
        kept_rows: rows whose operators are kept; the others' are built anew in every product,
            which costs about another gradient. All by default.
    """

    def __init__(
        self,
        build: Callable[[Rows], Differentiated],
        rows: Rows,
        *,
        chunk: int,
        kept_rows: int | None = None,
    ) -> None:
        self._build, self._rows = build, rows
        self._slices = list(slices(len(rows), chunk))
        self._kept: list[Differentiated] = []
        self._gradient: Tensor
        for i, part in enumerate(self._slices):
            operator = self._part(part)
            share = operator.gradient * self._share(part)
            self._gradient = self._gradient + share if i else share
            if kept_rows is None or part.stop <= kept_rows:
                self._kept.append(operator)

    @property
    def gradient(self) -> Tensor:
        """The gradient over all rows, (d,)."""
        return self._gradient

    def __matmul__(self, vector: Tensor) -> Tensor:
        total = vector.new_zeros(vector.shape)
        for i, part in enumerate(self._slices):
            operator = self._kept[i] if i < len(self._kept) else self._part(part)
            total.add_(operator @ vector, alpha=self._share(part))
        return total

    def _part(self, part: slice) -> Differentiated:
        return self._build(Rows(self._rows.x[part], self._rows.y[part]))

    def _share(self, part: slice) -> float:
        return (part.stop - part.start) / len(self._rows)

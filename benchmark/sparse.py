"""Sparse matrices that dense ones are multiplied by."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

#: Share of entries that are not zero up to which products with these alone take less time.
SPARSE = 0.3


@dataclass(frozen=True)
class SparseMatrix:
    """The entries of a matrix that are not zero; they must not change.

    Attributes:
        entries: (m, n) in compressed rows with sorted columns, in the precision of the products.
        device: where products are computed.
        dense: the same matrix with its zeros, where there is one.
    """

    entries: sparse.csr_array
    device: torch.device
    dense: Tensor | None = None

    @classmethod
    def within(cls, x: Tensor) -> SparseMatrix | None:
        """Entries of `x` (m, n) on a CPU; None elsewhere, and for a share above `SPARSE`."""
        if x.device.type != "cpu" or int(x.count_nonzero()) > SPARSE * x.numel():
            return None
        values = x.numpy()
        there = values != 0  # half the time that SciPy takes, which goes by way of coordinates
        ends = np.concatenate([[0], np.cumsum(np.count_nonzero(there, axis=1))])
        columns = np.flatnonzero(there) % x.shape[1]
        parts = values[there], columns.astype(np.int32), ends.astype(np.int32)
        return cls(sparse.csr_array(parts, tuple(x.shape)), x.device, x)

    def take(self, index: Tensor, dense: Tensor) -> SparseMatrix:
        """The rows at `index` (k,) int64, which are `dense` (k, n) as well."""
        return SparseMatrix(self.entries[index.numpy()], self.device, dense)

    @cached_property
    def matrix(self) -> Tensor:
        """The matrix as torch has it."""
        return self._in_torch(self.entries)

    @cached_property
    def transposed(self) -> Tensor:
        """Its transpose (n, m)."""
        return self._in_torch(self.entries.T.tocsr())

    def _in_torch(self, found: sparse.csr_array) -> Tensor:
        ends, columns, values = map(torch.from_numpy, (found.indptr, found.indices, found.data))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(
                ends, columns, values, found.shape, check_invariants=False, device=self.device
            )

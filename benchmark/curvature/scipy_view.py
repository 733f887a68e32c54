"""An operator as SciPy's iterative solvers want it."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator

from benchmark.curvature.hessian import Operator


def as_scipy(
    operator: Operator,
    dimension: int,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
) -> LinearOperator:
    """A symmetric (dimension, dimension) `scipy.sparse.linalg.LinearOperator`.

    Vectors pass through memory of the CPU; products are computed in `dtype` on `device`.
    """

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(np.array(vector)).to(device, dtype).view(dimension)
        return (operator @ v).cpu().numpy()

    return LinearOperator(
        (dimension, dimension),
        matvec=product,
        rmatvec=product,
        dtype=torch.empty(0, dtype=dtype).numpy().dtype,
    )

"""Extreme eigenvalues by Lanczos iteration."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator


def extreme_eigenvalues(operator: Operator, start: Tensor, steps: int) -> tuple[float, float]:
    """Smallest and largest Ritz value of a symmetric operator, with full reorthogonalisation.

    Ritz values lie inside the spectrum: the smallest is an *upper* bound on the smallest
    eigenvalue, so a certificate that uses it is conditional (docs/certificates.md).

    Args:
        operator: symmetric, on (d,).
        start: (d,), not zero; a random direction meets every eigenvector.
        steps: number of products; stops earlier where the Krylov space is exhausted.
    """
    basis = [start / start.norm()]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    for _ in range(min(steps, len(start))):
        w = operator @ basis[-1]
        diagonal.append(float(w.dot(basis[-1])))
        stacked = torch.stack(basis)
        for _ in range(2):  # twice is enough (Parlett)
            w = w - stacked.T @ (stacked @ w)
        beta = float(w.norm())
        if beta <= 1e-10 * max(map(abs, diagonal)) or len(diagonal) == steps:
            break
        off_diagonal.append(beta)
        basis.append(w / beta)
    k = len(diagonal)
    tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if k > 1:
        side = torch.tensor(off_diagonal[: k - 1], dtype=torch.float64)
        tridiagonal += torch.diag(side, 1) + torch.diag(side, -1)
    ritz = torch.linalg.eigvalsh(tridiagonal)
    return float(ritz[0]), float(ritz[-1])

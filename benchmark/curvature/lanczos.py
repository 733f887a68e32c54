"""Lanczos iteration: a Krylov basis and the extreme eigenvalues seen in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.read_behind import read_behind


@dataclass(frozen=True)
class Krylov:
    """An orthonormal basis of span{s, A s, A^2 s, ...} and A in it.

    Attributes:
        basis: (k, d).
        projected: (k, k) float64 on the CPU, tridiagonal: basis A basis^T.
        remainder: norm of the part of A basis[-1] that is outside the space.
    """

    basis: Tensor
    projected: Tensor
    remainder: float


def lanczos(operator: Operator, start: Tensor, steps: int) -> Krylov:
    """The Krylov space after `steps` products, with full reorthogonalisation.

    Args:
        operator: symmetric, on (d,).
        start: (d,), not zero.
        steps: number of products, 1 or more; stops earlier where the space is exhausted.
    """
    basis = start.new_empty(min(steps, len(start)), len(start))
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    for _, (alpha, beta) in read_behind(_steps(operator, basis), far=lambda: True):
        diagonal.append(alpha)
        off_diagonal.append(beta)
        if beta <= 1e-10 * max(map(abs, diagonal)):
            break
    side = torch.tensor(off_diagonal[:-1], dtype=torch.float64)
    projected = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    projected += torch.diag(side, 1) + torch.diag(side, -1)
    return Krylov(basis[: len(diagonal)], projected, beta)


def _steps(operator: Operator, basis: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Fill `basis`, (k, d), from its first vector on; each with the numbers of its column."""
    for k in range(len(basis)):
        w = operator @ basis[k]
        alpha = w.dot(basis[k])
        for _ in range(2):  # twice is enough (Parlett)
            w = w - basis[: k + 1].T @ (basis[: k + 1] @ w)
        beta = w.norm()
        yield basis[k], torch.stack((alpha, beta))
        if k + 1 < len(basis):
            basis[k + 1] = w / beta


def extreme_eigenvalues(operator: Operator, start: Tensor, steps: int) -> tuple[float, float]:
    """Smallest and largest Ritz value of a symmetric operator, with full reorthogonalisation.

    Ritz values lie inside the spectrum: the smallest is an *upper* bound on the smallest
    eigenvalue, so a certificate that uses it is conditional (docs/theory/spectrum.md).

    Args:
        operator: symmetric, on (d,).
        start: (d,), not zero; a random direction meets every eigenvector.
        steps: number of products; stops earlier where the Krylov space is exhausted.
    """
    ritz = torch.linalg.eigvalsh(lanczos(operator, start, steps).projected)
    return float(ritz[0]), float(ritz[-1])

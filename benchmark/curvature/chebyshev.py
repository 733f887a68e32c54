"""Chebyshev iteration between eigenvalue bounds from a few Lanczos steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.lanczos import lanczos
from benchmark.curvature.read_behind import STRIDE, read_behind
from benchmark.curvature.solution import Solution, measured


def chebyshev(
    operator: Operator, b: Tensor, *, tolerance: float, max_products: int, steps: int = 6
) -> Solution:
    """Solve A x = b for positive definite A until ||b - A x|| <= tolerance ||b||.

    Lanczos steps from b give bounds on the spectrum and a first x (the Galerkin solution in their
    space, which is that of conjugate gradients), so their products are not lost. Then Chebyshev's
    semi-iteration (Saad 2003, algorithm 12.1), which needs no inner products. Bounds that turn
    out too narrow, seen from a residual that grows, are found again from where the iteration
    stands.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        steps: Lanczos steps.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x, r, products = b.new_zeros(b.shape), b, 0
    low, high, curvature = torch.inf, 0.0, None
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    while size > goal and products + 2 <= max_products:
        space = lanczos(operator, r, min(steps, max_products - products - 1))
        products += len(space.basis) + 1
        ritz, vectors = torch.linalg.eigh(space.projected)
        if float(ritz[0]) <= 0:
            curvature = float(ritz[0])
            break
        # The outermost Ritz values are inside the spectrum, and as far out again as they may err.
        errors = space.remainder * vectors[-1].abs()
        low = min(low, max(float(ritz[0] - errors[0]), 0.5 * float(ritz[0])))
        high = max(high, float(ritz[-1] + errors[-1]))
        y = vectors @ (vectors[0] / ritz) * size
        x = x + space.basis.T @ y.to(b)
        r = b - operator @ x
        size = float(r.norm())
        history.append((products, size / norm))
        limit, left = size, max_products - products if size > goal else 0
        semi_iteration = islice(_steps(operator, r, low, high), left)
        for (d, after), (found,) in read_behind(semi_iteration, far):
            x, r, size = x + d, after, found
            products += 1
            history.append((products, size / norm))
            if not goal < size <= 2 * limit:
                break
    return measured(
        operator, b, x, goal=goal, products=products, curvature=curvature, history=tuple(history)
    )


def _steps(
    operator: Operator, r: Tensor, low: float, high: float
) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
    """Chebyshev's recursion from a residual r: each step of x and the residual after it, (d,)."""
    centre, half = (high + low) / 2, max((high - low) / 2, 1e-12 * high)
    rho, d = half / centre, r / centre
    while True:
        r = r - operator @ d
        yield (d, r), r.norm().view(1)
        rho, before = 1 / (2 * centre / half - rho), rho
        d = d.mul(rho * before).add_(r, alpha=2 * rho / half)

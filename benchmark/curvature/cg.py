"""Conjugate gradients, with negative curvature and the reached residual reported."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.solution import Solution, measured

__all__ = ["Solution", "conjugate_gradients"]


def conjugate_gradients(
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float,
    max_products: int,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
) -> Solution:
    """Solve A x = b for symmetric A until ||b - A x|| <= tolerance ||b|| (Hestenes & Stiefel 1952).

    Stops early, with the best x so far, when a direction of non-positive curvature shows that A
    is not positive definite.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        preconditioner: r -> P^{-1} r for a symmetric positive definite P near A.
    """
    norm = float(b.norm())
    goal = tolerance * norm
    x, r = b.new_zeros(b.shape), b.clone()
    z = preconditioner(r) if preconditioner else r
    p, rz, size = z, float(r.dot(z)), norm
    products, curvature = 0, None
    history: list[tuple[float, float]] = []
    while size > goal and products < max_products:
        ap = operator @ p
        products += 1
        pap = float(p.dot(ap))
        if pap <= 0:
            curvature = pap / float(p.dot(p))
            break
        alpha = rz / pap
        x, r = x.add(p, alpha=alpha), r.sub(ap, alpha=alpha)
        z = preconditioner(r) if preconditioner else r
        rz, old = float(r.dot(z)), rz
        size = float(r.norm()) if preconditioner else rz**0.5
        history.append((products, size / norm))
        p = z.add(p, alpha=rz / old)
    return measured(
        operator, b, x, goal=goal, products=products, curvature=curvature, history=tuple(history)
    )

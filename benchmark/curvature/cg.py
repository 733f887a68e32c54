"""Conjugate gradients, with negative curvature and the reached residual reported."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmark.curvature.hessian import Operator


@dataclass(frozen=True)
class Solution:
    """An approximate solution x of A x = b.

    Attributes:
        x: (d,).
        residual: ||b - A x||, recomputed from x, not carried along the recursion.
        products: operator products spent, the residual's one included.
        converged: whether residual <= tolerance * ||b||.
        curvature: a p with p.Ap <= 0 was met, at this value of p.Ap / p.p; None if none was.
    """

    x: Tensor
    residual: float
    products: int
    converged: bool
    curvature: float | None


def conjugate_gradients(
    operator: Operator, b: Tensor, *, tolerance: float, max_products: int
) -> Solution:
    """Solve A x = b for symmetric A until ||b - A x|| <= tolerance ||b|| (Hestenes & Stiefel 1952).

    Stops early, with the best x so far, when a direction of non-positive curvature shows that A
    is not positive definite.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
    """
    goal = tolerance * float(b.norm())
    x, r = b.new_zeros(b.shape), b.clone()
    p, rr = r.clone(), float(r.dot(r))
    products, curvature = 0, None
    while rr**0.5 > goal and products < max_products:
        ap = operator @ p
        products += 1
        pap = float(p.dot(ap))
        if pap <= 0:
            curvature = pap / float(p.dot(p))
            break
        alpha = rr / pap
        x, r = x.add(p, alpha=alpha), r.sub(ap, alpha=alpha)
        rr, old = float(r.dot(r)), rr
        p = r.add(p, alpha=rr / old)
    residual = float((b - operator @ x).norm()) if products else float(b.norm())
    # The recursion's residual drifts from the true one by round-off; 1 % covers it.
    converged = curvature is None and residual <= 1.01 * goal
    return Solution(x, residual, products + 1 if products else 0, converged, curvature)

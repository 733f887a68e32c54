"""Conjugate gradients, with negative curvature and the reached residual reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.read_behind import STRIDE, read_behind
from benchmark.curvature.solution import Solution, measured

__all__ = ["Solution", "conjugate_gradients"]


def conjugate_gradients(
    operator: Operator,
    b: Tensor,
    *,
    tolerance: float,
    max_products: int,
    preconditioner: Callable[[Tensor], Tensor] | None = None,
    recompute: bool = True,
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
        recompute: whether the residual is computed anew at the end, by a product more; else it is
            what the recursion says, for callers that find out by themselves.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x = torch.zeros_like(b)
    products, curvature = 0, None
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    steps = islice(_steps(operator, b, preconditioner), max_products if size > goal else 0)
    for p, (pap, rz, squared) in read_behind(steps, far):
        products += 1
        if pap <= 0:
            curvature = pap / float(p.dot(p))
            break
        x = x.add(p, alpha=rz / pap)
        size = squared**0.5
        history.append((products, size / norm))
        if not size > goal:
            break
    if not recompute:
        converged = curvature is None and size <= goal
        return Solution(x, size, products, converged, curvature, tuple(history))
    return measured(
        operator, b, x, goal=goal, products=products, curvature=curvature, history=tuple(history)
    )


def _steps(
    operator: Operator, b: Tensor, preconditioner: Callable[[Tensor], Tensor] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The recursion: each direction p, (d,), with p.Ap, r.z before it and r.r after it."""
    r = b
    z = preconditioner(r) if preconditioner else r
    p, rz = z, r.dot(z)
    while True:
        ap = operator @ p
        pap, before = p.dot(ap), rz
        r = r.addcmul(ap, before / pap, value=-1)
        z = preconditioner(r) if preconditioner else r
        rz = r.dot(z)
        yield p, torch.stack((pap, before, r.dot(r) if preconditioner else rz))
        p = z.addcmul(p, rz / before)

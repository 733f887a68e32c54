"""How many iterations of conjugate gradients a tolerance takes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from benchmark.curvature.hessian import Operator


def iterations(
    operator: Operator, b: Tensor, *, start: Literal["zero", "b"], tolerance: float, limit: int
) -> int | None:
    """The least k after which ||b - A x_k|| <= tolerance ||b||; None if `limit` does not do.

    The libraries stop by rules of their own, some of which are not the one asked for. They all
    run the plain iteration, so it says beforehand when to stop them.

    Args:
        operator: A.
        b: (d,).
        start: x_0; two of the libraries start from b itself.
        tolerance: relative to ||b||.
        limit: the largest k.
    """
    x = b.new_zeros(b.shape) if start == "zero" else b.clone()
    r = b - operator @ x
    p, rr = r.clone(), float(r.dot(r))
    goal = tolerance * float(b.norm())
    for k in range(limit + 1):
        if rr**0.5 <= goal:
            return k
        ap = operator @ p
        pap = float(p.dot(ap))
        if not pap > 0:
            return None
        r = r.sub(ap, alpha=rr / pap)
        rr, old = float(r.dot(r)), rr
        p = r.add(p, alpha=rr / old)
    return None

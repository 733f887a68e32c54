"""The minimal residual method, for symmetric systems that may be indefinite."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
from benchmark.curvature.read_behind import STRIDE, read_behind
from benchmark.curvature.solution import Solution, measured


def minres(operator: Operator, b: Tensor, *, tolerance: float, max_products: int) -> Solution:
    """Solve A x = b for symmetric A until ||b - A x|| <= tolerance ||b|| (Paige & Saunders 1975).

    The x of least residual in the Krylov space, so the residual never grows, whether or not A is
    definite. That A is not is seen from the residuals r at no cost: r.Ar / r.r is a number of the
    recursion (Liu & Roosta 2022). The iteration goes on, as its x still means something, but the
    solution says so.

    Args:
        operator: A; applied at most `max_products` times and once more for the residual.
        b: (d,).
        tolerance: relative to ||b||.
        max_products: budget of operator products.
    """
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    x, d, d_old = torch.zeros_like(b), torch.zeros_like(b), torch.zeros_like(b)
    cosine, sine, above, two_above = -1.0, 0.0, 0.0, 0.0
    products, lowest, scale = 0, 0.0, 0.0
    history: list[tuple[float, float]] = []

    def far() -> bool:
        return size > STRIDE * goal

    steps = islice(_steps(operator, b), max_products if size > goal else 0)
    for v, (alpha, beta) in read_behind(steps, far):
        products += 1
        # The column (two_above, above, alpha, beta) of the tridiagonal, turned by the last
        # reflection and then by the one that clears beta.
        middle = cosine * above + sine * alpha
        pivot = sine * above - cosine * alpha
        scale = max(scale, abs(alpha), beta)
        lowest = min(lowest, -cosine * pivot)
        following, above = sine * beta, -cosine * beta
        length = (pivot * pivot + beta * beta) ** 0.5
        if length <= torch.finfo(b.dtype).eps * scale:
            break  # A is singular and b outside its range: x is the least-squares solution
        cosine, sine = pivot / length, beta / length
        d, d_old = v.sub(d, alpha=middle).sub_(d_old, alpha=two_above).div_(length), d
        x = x.add(d, alpha=cosine * size)
        size *= sine
        two_above = following
        history.append((products, size / norm))
        if not size > goal:
            break
    # Within round-off of zero the recursion cannot tell the sign.
    indefinite = lowest < -10 * torch.finfo(b.dtype).eps * scale
    return measured(
        operator,
        b,
        x,
        goal=goal,
        products=products,
        curvature=lowest if indefinite else None,
        history=tuple(history),
    )


def _steps(operator: Operator, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Lanczos' recursion from b: each vector v, (d,), with its alpha and beta."""
    v, v_old, beta = b / b.norm(), torch.zeros_like(b), b.new_zeros(())
    while True:
        q = (operator @ v).addcmul_(v_old, beta, value=-1)
        alpha = q.dot(v)
        q.addcmul_(v, alpha, value=-1)
        beta = q.norm()
        yield v, torch.stack((alpha, beta))
        v, v_old = q / beta, v

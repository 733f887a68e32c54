"""The minimal residual method, for symmetric systems that may be indefinite."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.hessian import Operator
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
    x, v, v_old = b.new_zeros(b.shape), b / norm if norm else b, torch.zeros_like(b)
    d, d_old = torch.zeros_like(b), torch.zeros_like(b)
    beta, cosine, sine, above, far = 0.0, -1.0, 0.0, 0.0, 0.0
    products, lowest, scale = 0, 0.0, 0.0
    history: list[tuple[float, float]] = []
    while size > goal and products < max_products:
        q = operator @ v
        products += 1
        alpha = float(q.dot(v))
        q = q.sub_(v_old, alpha=beta).sub_(v, alpha=alpha)
        beta = float(q.norm())
        # The column (far, above, alpha, beta) of the tridiagonal, turned by the last reflection
        # and then by the one that clears beta.
        middle = cosine * above + sine * alpha
        pivot = sine * above - cosine * alpha
        scale = max(scale, abs(alpha), beta)
        lowest = min(lowest, -cosine * pivot)
        following, above = sine * beta, -cosine * beta
        length = (pivot * pivot + beta * beta) ** 0.5
        if length <= torch.finfo(b.dtype).eps * scale:
            break  # A is singular and b outside its range: x is the least-squares solution
        cosine, sine = pivot / length, beta / length
        d, d_old = v.sub(d, alpha=middle).sub_(d_old, alpha=far).div_(length), d
        x = x.add(d, alpha=cosine * size)
        size *= sine
        far = following
        v, v_old = q / beta if beta else q, v
        history.append((products, size / norm))
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

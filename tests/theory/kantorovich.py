"""A local certificate: a minimiser of the retained objective is near (Kantorovich 1948).

It says nothing about *the* retrained weights, and it is no (epsilon, delta) statement.
"""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken
from benchmark.theory import require


def kantorovich_radius(
    *, gradient_norm: float, smallest_eigenvalue: float, hessian_lipschitz: float
) -> float:
    """Radius around w that holds exactly one stationary point of f, a minimiser.

    (1 - sqrt(1 - 2h)) mu_0 / M with h = M ||grad f(w)|| / mu_0^2, if h <= 1/2.

    Args:
        gradient_norm: ||grad f(w)||.
        smallest_eigenvalue: mu_0, of hess f(w).
        hessian_lipschitz: M, on the ball of the returned radius around w.

    Raises:
        AssumptionBroken: if mu_0 is not positive, h is above 1/2 or a constant is negative.
    """
    require.nonnegative(gradient_norm=gradient_norm, hessian_lipschitz=hessian_lipschitz)
    require.positive(smallest_eigenvalue=smallest_eigenvalue)
    h = hessian_lipschitz * gradient_norm / smallest_eigenvalue**2
    if h > 0.5:
        raise AssumptionBroken(f"Kantorovich's theorem needs h <= 1/2; it is {h:.3g}")
    # The same number, written so that M = 0 is allowed and nothing cancels.
    return 2 * gradient_norm / (smallest_eigenvalue * (1 + math.sqrt(1 - 2 * h)))

"""Exact constants of a logistic head with one logit."""

from __future__ import annotations

import math

from benchmark.theory import require
from benchmark.theory.constants import HeadConstants


def binary_head(row_norm: float, ridge: float) -> HeadConstants:
    """Logistic loss with a single logit.

    L = R^2 / 4 + ridge, M = R^3 / (6 sqrt(3)), gradients <= R, rho = R.

    Raises:
        AssumptionBroken: if R or the ridge is negative or not finite.
    """
    require.nonnegative(row_norm=row_norm, ridge=ridge)
    return HeadConstants(
        strong_convexity=ridge,
        gradient_lipschitz=row_norm**2 / 4 + ridge,
        hessian_lipschitz=row_norm**3 / (6 * math.sqrt(3)),
        sample_gradient=row_norm,
        self_concordance=row_norm,
    )

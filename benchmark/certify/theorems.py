"""Bounds on the distance between unlearned and retrained weights, before noise.

Pure functions of constants; the numbering is that of docs/certificates.md.
"""

from __future__ import annotations

from benchmark.errors import AssumptionBroken


def theorem_5(*, gradient_norm: float, retrain_gradient: float, strong_convexity: float) -> float:
    """Strongly convex objective, any weights w: ||w - w_r|| <= (||grad L(w, D_r)|| + G) / mu.

    Args:
        gradient_norm: ||grad L(w, D_r)||.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if mu is not positive.
    """
    if strong_convexity <= 0:
        raise AssumptionBroken(f"Theorem 5 needs mu > 0; it is {strong_convexity:.3g}")
    return (gradient_norm + retrain_gradient) / strong_convexity


def theorem_4(
    *,
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    residual: float,
    retrain_gradient: float,
    smallest_eigenvalue: float,
) -> float:
    """Damped Newton step solved to a residual (Zhang et al. 2024, made a posteriori):

    Delta = (B (lambda + M B / 2) + G + ||r||) / (lambda + lambda_min).

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        residual: ||g - (H + lambda I) x|| of the step x that was taken.
        retrain_gradient: G, a bound on ||grad L(w_r, D_r)||.
        smallest_eigenvalue: lambda_min of H at w*, on the retained rows.

    Raises:
        AssumptionBroken: if lambda + lambda_min is not positive.
    """
    curvature = damping + smallest_eigenvalue
    if curvature <= 0:
        raise AssumptionBroken(
            f"Theorem 4 needs damping + lambda_min > 0; it is {curvature:.3g} "
            f"(damping {damping:.3g}, lambda_min {smallest_eigenvalue:.3g})"
        )
    step = distance * (damping + hessian_lipschitz * distance / 2)
    return (step + retrain_gradient + residual) / curvature

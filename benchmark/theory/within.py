"""Strongly convex objectives over a convex set: the distance to the retrained weights.

Where training is constrained the gradient does not vanish. The residual of the variational
inequality, e(w) = dist(-grad L(w), N_K(w)), takes its place. Proofs are in docs/properties.md.
"""

from __future__ import annotations

import math

from benchmark.theory import require


def within_residual_bound(
    *, residual: float, retrain_residual: float, strong_convexity: float
) -> float:
    """P3: any w in K, ||w - w_r|| <= (e(w) + G) / mu for w_r in K with e(w_r) <= G.

    Args:
        residual: e(w).
        retrain_residual: G, the residual at which retraining stops.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if mu is not positive, or a number is negative or not finite.

    >>> within_residual_bound(residual=1e-5, retrain_residual=0.0, strong_convexity=0.01)
    0.001
    """
    require.nonnegative(residual=residual, retrain_residual=retrain_residual)
    require.positive(strong_convexity=strong_convexity)
    return (residual + retrain_residual) / strong_convexity


def prox_residual_bound(
    *, residual: float, step: float, retrain_residual: float, strong_convexity: float
) -> float:
    """P4: y = P_K(w - t grad L(w)) of any w has ||y - w_r|| <= ((1 - t mu) ||r|| + G) / mu.

    Args:
        residual: ||r||, r = (w - y) / t.
        step: t, at most 2 / (L + mu).
        retrain_residual: G.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if mu or t is not positive, or a number is negative or not finite.
    """
    require.nonnegative(residual=residual, retrain_residual=retrain_residual)
    require.positive(step=step, strong_convexity=strong_convexity)
    kept = max(0.0, 1 - step * strong_convexity)
    return (kept * residual + retrain_residual) / strong_convexity


def energy_bound(
    *,
    energy_norm: float,
    retrain_residual: float,
    strong_convexity: float,
    self_concordance: float,
    distance: float,
) -> float:
    """P5: ||w - w_r|| <= (||r||_{H^-1} + G / sqrt mu) / (phi(rho d) sqrt mu), w in K, any d.

    phi(x) = (1 - e^-x) / x. The bound is fed back into itself while it helps.

    Args:
        energy_norm: ||r||_{H(w)^-1}, r = grad L(w) + z for some z in N_K(w).
        retrain_residual: G.
        strong_convexity: mu.
        self_concordance: rho.
        distance: d >= ||w - w_r||, from another bound.

    Raises:
        AssumptionBroken: if mu is not positive, or a number is negative or not finite.
    """
    require.nonnegative(
        energy_norm=energy_norm,
        retrain_residual=retrain_residual,
        self_concordance=self_concordance,
        distance=distance,
    )
    require.positive(strong_convexity=strong_convexity)
    root = math.sqrt(strong_convexity)
    for _ in range(100):
        bound = (energy_norm + retrain_residual / root) / (_phi(self_concordance * distance) * root)
        if bound >= distance * (1 - 1e-6):
            return min(bound, distance)
        distance = bound
    return distance


def same_face(
    *,
    multipliers: tuple[float, ...],
    gaps: tuple[float, ...],
    gradient_lipschitz: float,
    retrain_residual: float,
    distance: float,
) -> bool:
    """P6: whether w_r has the active constraints of w, of half-spaces with orthonormal normals.

    Args:
        multipliers: a_j . grad L(w) of the active ones, a_j . w = 0.
        gaps: a_j . w of the others.
        gradient_lipschitz: L.
        retrain_residual: G.
        distance: d >= ||w - w_r||.

    Raises:
        AssumptionBroken: if L, G or d is negative or not finite.
    """
    require.nonnegative(
        gradient_lipschitz=gradient_lipschitz, retrain_residual=retrain_residual, distance=distance
    )
    held = min(multipliers, default=math.inf) > gradient_lipschitz * distance + retrain_residual
    return held and min(gaps, default=math.inf) > distance


def _phi(x: float) -> float:
    """(1 - e^-x) / x, at most 1."""
    return -math.expm1(-x) / x if x > 1e-12 else 1.0

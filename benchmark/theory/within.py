"""Strongly convex objectives over a convex set: the distance to the retrained weights.

Where training is constrained the gradient does not vanish. The residual of the variational
inequality, e(w) = dist(-grad L(w), N_K(w)), takes its place. Proofs are in docs/properties.md.

A head's loss does not depend on what its classes share: there the objective is the ridge alone, and
the two parts of the weights have nothing to do with each other. P5 and P6 treat them apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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
    shared_residual: float,
    retrain_residual: float,
    strong_convexity: float,
    curvature: float,
    self_concordance: float,
    distance: float,
) -> float:
    """P5: hypot(||r_V|| / mu, ||r_U||_{H^-1} / (phi sqrt l)) + G max(1 / mu, 1 / (phi l)), w in K.

    phi = (1 - e^-x) / x at x = rho d, for any d >= ||w - w_r||. The bound is fed back into itself
    while it helps.

    Args:
        energy_norm: ||r_U||_{H(w)^-1}, r = grad L(w) + z for some z in N_K(w), without its shared
            part r_V.
        shared_residual: ||r_V||.
        retrain_residual: G.
        strong_convexity: mu.
        curvature: l, at most the least eigenvalue of H(w) off the shared part.
        self_concordance: rho.
        distance: d >= ||w - w_r||, from another bound.

    Raises:
        AssumptionBroken: if mu or l is not positive, or a number is negative or not finite.
    """
    require.nonnegative(
        energy_norm=energy_norm,
        shared_residual=shared_residual,
        retrain_residual=retrain_residual,
        self_concordance=self_concordance,
        distance=distance,
    )
    require.positive(strong_convexity=strong_convexity, curvature=curvature)

    def after(d: float) -> float:
        phi = _phi(self_concordance * d)
        apart = energy_norm / (phi * math.sqrt(curvature))
        held = max(1 / strong_convexity, 1 / (phi * curvature))
        return math.hypot(shared_residual / strong_convexity, apart) + held * retrain_residual

    return _fed_back(after, distance)


def face_bound(
    *,
    step_norm: float,
    step_dot_gradient: float,
    residual: float,
    shared_gradient: float,
    retrain_residual: float,
    strong_convexity: float,
    curvature: float,
    self_concordance: float,
    distance: float,
) -> float:
    """P6: hypot(||g_V|| / mu, t coth(t) (||x|| + ||r|| / l) + t e / sqrt l) + G / mu, on a face.

    t = rho d / 2 for any d >= ||w - w_r||, x is any vector of the face without a shared part,
    r = g_U - H x, and e^2 = g.x + (||x|| + ||r|| / l) ||r||. It is Theorem 6 with the least
    eigenvalue of the Hessian at w in place of the ridge. It is fed back into itself.

    Args:
        step_norm: ||x||.
        step_dot_gradient: g.x.
        residual: ||r||, on the face.
        shared_gradient: ||g_V||, the part of the gradient that all classes share.
        retrain_residual: G.
        strong_convexity: mu.
        curvature: l, at most the least eigenvalue of H(w) on the face off the shared part.
        self_concordance: rho.
        distance: d >= ||w - w_r||, from another bound.

    Raises:
        AssumptionBroken: if mu or l is not positive, or a number is negative or not finite.
    """
    require.nonnegative(
        step_norm=step_norm,
        residual=residual,
        shared_gradient=shared_gradient,
        retrain_residual=retrain_residual,
        self_concordance=self_concordance,
        distance=distance,
    )
    require.finite(step_dot_gradient=step_dot_gradient)
    require.positive(strong_convexity=strong_convexity, curvature=curvature)
    solved = step_norm + residual / curvature
    energy = math.sqrt(max(0.0, step_dot_gradient + solved * residual) / curvature)

    def after(d: float) -> float:
        t = self_concordance * d / 2
        apart = (t / math.tanh(t) if t > 0 else 1.0) * solved + t * energy
        return math.hypot(shared_gradient, strong_convexity * apart) / strong_convexity + held

    held = retrain_residual / strong_convexity
    return _fed_back(after, distance)


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


def _fed_back(after: Callable[[float], float], distance: float) -> float:
    """The least of d, F(d), F(F(d)), ... while it helps: F(d) is a bound wherever d is one."""
    for _ in range(100):
        bound = after(distance)
        if bound >= distance * (1 - 1e-6):
            return min(bound, distance)
        distance = bound
    return distance


def _phi(x: float) -> float:
    """(1 - e^-x) / x, at most 1."""
    return -math.expm1(-x) / x if x > 1e-12 else 1.0

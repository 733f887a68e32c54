"""Strongly convex objectives: the distance to the retrained weights, whatever the solver."""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken
from benchmark.theory import require


def gradient_residual_bound(
    *, gradient_norm: float, retrain_gradient: float, strong_convexity: float
) -> float:
    """Any weights w: ||w - w_r|| <= (||grad L(w, D_r)|| + G) / mu.

    Args:
        gradient_norm: ||grad L(w, D_r)||.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if mu is not positive, or a norm is negative or not finite.
    """
    require.nonnegative(gradient_norm=gradient_norm, retrain_gradient=retrain_gradient)
    require.positive(strong_convexity=strong_convexity)
    return (gradient_norm + retrain_gradient) / strong_convexity


def self_concordant_bound(
    *,
    gradient_norm: float,
    step_norm: float,
    step_dot_gradient: float,
    residual: float,
    retrain_gradient: float,
    strong_convexity: float,
    self_concordance: float,
) -> float:
    """Theorem 6: Theorem 5 made nearly tight by one linear solve at w.

    With g and H of L(., D_r) at w, any x, r = g - H x and any d >= ||w - w_r||,

        ||w - w_r|| <= t coth(t) (||x|| + ||r|| / mu) + t e / sqrt(mu) + G / mu,
        t = rho d / 2,   e^2 = g.x + ||x|| ||r|| + ||r||^2 / mu >= g.H^-1 g.

    Theorem 5 gives the first d; the bound is increasing in d and so may be fed back into itself.

    Args:
        gradient_norm: ||g||.
        step_norm: ||x||, with x an approximate solution of H x = g *without damping*.
        step_dot_gradient: g.x.
        residual: ||g - H x||, measured by one product.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.
        self_concordance: rho, see `benchmark.theory.constants`; 0 for a quadratic.

    Raises:
        AssumptionBroken: if mu is not positive, a norm or rho is negative, a number is not
            finite, or no x can have these norms.
    """
    require.nonnegative(step_norm=step_norm, residual=residual, self_concordance=self_concordance)
    require.finite(step_dot_gradient=step_dot_gradient)
    distance = gradient_residual_bound(
        gradient_norm=gradient_norm,
        retrain_gradient=retrain_gradient,
        strong_convexity=strong_convexity,
    )
    solved = residual / strong_convexity
    energy = step_dot_gradient + step_norm * residual + residual * solved
    if energy < 0:
        raise AssumptionBroken(
            f"g.x = {step_dot_gradient:.3g} would make g.H^-1 g negative: x does not belong to g"
        )
    energy = min(energy, gradient_norm**2 / strong_convexity)
    for _ in range(100):
        t = self_concordance * distance / 2
        bound = (
            _t_coth(t) * (step_norm + solved)
            + t * math.sqrt(energy / strong_convexity)
            + retrain_gradient / strong_convexity
        )
        if bound >= distance * (1 - 1e-6):
            return min(bound, distance)
        distance = bound
    return distance


def _t_coth(t: float) -> float:
    """T coth t for t >= 0, which is at least 1."""
    return t / math.tanh(t) if t > 0 else 1.0

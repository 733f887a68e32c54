"""Strongly convex objectives: the distance to the retrained weights, whatever the solver."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmark.errors import AssumptionBroken
from benchmark.theory import require
from benchmark.theory.bootstrap import bootstrapped


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

    >>> gradient_residual_bound(gradient_norm=1e-5, retrain_gradient=0.0, strong_convexity=0.01)
    0.001
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

    The gradient of the example above, solved for exactly where the curvature along it is 0.1:

    >>> bound = self_concordant_bound(
    ...     gradient_norm=1e-5,
    ...     step_norm=1e-4,
    ...     step_dot_gradient=1e-9,
    ...     residual=0.0,
    ...     retrain_gradient=0.0,
    ...     strong_convexity=0.01,
    ...     self_concordance=2.0,
    ... )
    >>> f"{bound:.3g}"
    '0.0001'
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


def step_without_pass_bound(
    *,
    step_norm: float,
    step_energy: float,
    residual: float,
    retrain_gradient: float,
    strong_convexity: float,
    self_concordance: float,
    stale: float = 0.0,
) -> float:
    """Theorem 7: the distance from w - x to w_r, by what is known at w alone.

    With g the gradient of L(., D_r) at w, mu I <= A, e^-s A <= hess L(w, D_r) <= e^s A, any x,
    r = g - A x, h^2 = x.A x, and any d >= ||w - w_r||,

        ||w - x - w_r|| <= k h / sqrt(mu) + (||r|| + G) / mu,   k = e^s tau / (1 - e^-tau) - 1,

    where tau = rho d. As ||w - w_r|| <= ||x|| + that, Lemma B finds d by itself.

    Args:
        step_norm: ||x||.
        step_energy: h, the norm of x in A.
        residual: ||r||.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.
        self_concordance: rho, see `benchmark.theory.constants`; 0 for a quadratic.
        stale: s, 0 where A is the Hessian at w.

    Returns:
        The bound; infinite where no D has F(D) < D, for then nothing is known.

    Raises:
        AssumptionBroken: if mu is not positive, or a number is negative or not finite.
    """
    require.nonnegative(step_norm=step_norm, step_energy=step_energy, residual=residual)
    require.nonnegative(retrain_gradient=retrain_gradient, stale=stale)
    require.nonnegative(self_concordance=self_concordance)
    require.positive(strong_convexity=strong_convexity)
    energy = step_energy / math.sqrt(strong_convexity)
    left = (residual + retrain_gradient) / strong_convexity

    def after(d: float) -> float:
        return _off_centre(self_concordance * d, stale) * energy + left

    if step_norm == step_energy == 0:  # w is not left: Theorem 5
        return left
    distance = bootstrapped(lambda d: step_norm + after(d), step_norm + left)
    return after(distance) if math.isfinite(distance) else math.inf


def step_by_leverage_bound(
    *,
    step_energy: float,
    whole_energy: float,
    residual: float,
    retrain_gradient: float,
    strong_convexity: float,
    leverage: float,
    widening: float,
    stale: float = 0.0,
) -> float:
    """Theorem 7 for one logit a row, by how far rows stick out of a Hessian, not by their length.

    Let B be a positive definite matrix, l^2 at least x.B^-1 x for every row x, and B <= c^2 A. Then
    tau = l (h_B + c d) for any d >= ||w - x - w_r||_A, h_B is the norm of x in B, and

        ||w - x - w_r||_A <= k h + (1 + k / 2) (||r|| + G) / sqrt(mu)

    is the F(d) of Lemma B.

    Args:
        step_energy: h, the norm of x in A.
        whole_energy: h_B.
        residual: ||r||.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.
        leverage: l.
        widening: c.
        stale: s, 0 where A is the Hessian at w.

    Returns:
        The bound on ||w - x - w_r||; infinite where no D has F(D) < D.

    Raises:
        AssumptionBroken: if mu is not positive, or a number is negative or not finite.
    """
    require.nonnegative(step_energy=step_energy, whole_energy=whole_energy, residual=residual)
    require.nonnegative(retrain_gradient=retrain_gradient, stale=stale)
    require.nonnegative(leverage=leverage, widening=widening)
    require.positive(strong_convexity=strong_convexity)
    root = math.sqrt(strong_convexity)
    left = (residual + retrain_gradient) / root

    def off_centre(d: float) -> float:
        return _off_centre(leverage * (whole_energy + widening * d), stale)

    def after(d: float) -> float:
        k = off_centre(d)
        return k * step_energy + (1 + k / 2) * left

    start = after(0.0)
    distance = bootstrapped(after, start) if start > 0 else 0.0
    if not math.isfinite(distance):
        return math.inf
    return (off_centre(distance) * step_energy + left) / root


def step_by_logits_bound(
    *,
    step_energy: float,
    residual: float,
    retrain_gradient: float,
    strong_convexity: float,
    self_concordance: float,
    logit_change: float,
    stale: float = 0.0,
) -> float:
    """Theorem 7 by how much the step changes the logits, which one forward pass tells.

    With T the largest change of a row's logit by x, tau = T + rho d for any d >= ||w - x - w_r||,
    and the bound itself is the F(d) of Lemma B.

    Args:
        step_energy: h, the norm of x in A.
        residual: ||r||.
        retrain_gradient: G, the gradient norm at which retraining stops.
        strong_convexity: mu.
        self_concordance: rho, the largest change of a row's logit by a unit of length.
        logit_change: T, over the rows that stay.
        stale: s, 0 where A is the Hessian at w.

    Returns:
        The bound on ||w - x - w_r||; infinite where no D has F(D) < D.

    Raises:
        AssumptionBroken: if mu is not positive, or a number is negative or not finite.
    """
    require.nonnegative(step_energy=step_energy, residual=residual, stale=stale)
    require.nonnegative(retrain_gradient=retrain_gradient, logit_change=logit_change)
    require.nonnegative(self_concordance=self_concordance)
    require.positive(strong_convexity=strong_convexity)
    energy = step_energy / math.sqrt(strong_convexity)
    left = (residual + retrain_gradient) / strong_convexity

    def after(d: float) -> float:
        return _off_centre(logit_change + self_concordance * d, stale) * energy + left

    start = after(0.0)
    return bootstrapped(after, start) if start > 0 else 0.0


def separable_bound(
    bounds: Sequence[float], *, retrain_gradient: float, strong_convexity: float
) -> float:
    """The bound for a sum of objectives that share no weight, from one for each of them.

    Each of `bounds` ends with the whole G / mu, of which the parts of the gradient share one.

    Args:
        bounds: of the parts, each (k h) / sqrt(mu) + (||r|| + G) / mu.
        retrain_gradient: G, of all weights together.
        strong_convexity: mu.
    """
    held = gradient_residual_bound(
        gradient_norm=0.0, retrain_gradient=retrain_gradient, strong_convexity=strong_convexity
    )
    return math.hypot(*(max(0.0, bound - held) for bound in bounds)) + held


def _off_centre(tau: float, stale: float) -> float:
    """E^s tau / (1 - e^-tau) - 1 for tau, s >= 0, without cancellation; infinite beyond floats."""
    if stale > 100 or not math.isfinite(tau):
        return math.inf
    t = tau / 2
    # t coth t - 1 <= t^2 / 3
    excess = t * t / 3 if t < 1e-2 else _t_coth(t) - 1
    return math.expm1(stale) + math.exp(stale) * (t + excess)


def _t_coth(t: float) -> float:
    """T coth t for t >= 0, which is at least 1."""
    return t / math.tanh(t) if t > 0 else 1.0

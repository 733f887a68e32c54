"""Noisy fine-tuning without assumptions on the loss (Koloskova et al. 2025)."""

from __future__ import annotations

import math

import numpy as np

from benchmark.certify import require
from benchmark.certify.gaussian import delta_for
from benchmark.errors import AssumptionBroken, LetheError


def gradient_clipping_m(
    *,
    radius: float,
    clip: float,
    step_size: float,
    weight_decay: float,
    steps: int,
    sigma: float,
) -> float:
    """GDP parameter m of x <- x - eta (clip_C1(gradient) + lambda x) + N(0, sigma^2 I), T times.

    From ||x_0|| <= C0, with c = 1 - eta lambda:
    m = (2 C0 c^T + 2 eta C1 sum c^j) / (sigma sqrt(sum c^2j)), sums over j < T.

    Args:
        radius: C0.
        clip: C1, the norm gradients are clipped to.
        step_size: eta.
        weight_decay: lambda.
        steps: T.
        sigma: noise per coordinate and step, drawn afresh at each.

    Raises:
        AssumptionBroken: if c lies outside [0, 1], sigma is not positive or a constant negative.
        LetheError: if there is no step.
    """
    require.nonnegative(radius=radius, clip=clip, step_size=step_size, weight_decay=weight_decay)
    require.positive(sigma=sigma)
    if steps < 1:
        raise LetheError(f"noisy descent needs at least one step, not {steps}")
    c = 1 - step_size * weight_decay
    if not 0 <= c <= 1:
        raise AssumptionBroken(f"1 - step_size * weight_decay must lie in [0, 1]; it is {c:.3g}")
    drift = math.fsum(c**j for j in range(steps))
    noise = math.fsum(c ** (2 * j) for j in range(steps))
    reach = 2 * radius * c**steps + 2 * step_size * clip * drift
    return reach / (sigma * math.sqrt(noise))


def model_clipping_delta(*, epsilon: float, radius: float, steps: int, sigma: float) -> float:
    """Delta at `epsilon` of x <- Proj_C2(step(x)) + N(0, sigma^2 I), T times, from any start.

    delta_0 = 1, delta_t+1 = delta_t theta(ln(1 + (e^epsilon - 1) / delta_t)) with theta the
    Gaussian's delta at m = 2 C2 / sigma (Balle et al. 2019, contraction of the hockey-stick
    divergence).

    Args:
        epsilon: at least 0.
        radius: C2, of the ball the model is projected onto before noise is added.
        steps: T.
        sigma: noise per coordinate and step.

    Raises:
        AssumptionBroken: if epsilon or the radius is negative or sigma is not positive.
        LetheError: if there is no step.
    """
    require.nonnegative(epsilon=epsilon, radius=radius)
    require.positive(sigma=sigma)
    if steps < 1:
        raise LetheError(f"noisy descent needs at least one step, not {steps}")
    log_delta = 0.0
    for _ in range(steps):
        theta = delta_for(_amplified(epsilon, log_delta), 2 * radius / sigma)
        if theta == 0:
            return 0.0
        log_delta += math.log(theta)
    return math.exp(log_delta)


def _amplified(epsilon: float, log_delta: float) -> float:
    """Ln(1 + (e^epsilon - 1) / delta), in logarithms: e^epsilon may overflow."""
    if epsilon == 0:
        return 0.0
    return float(np.logaddexp(0, epsilon + math.log(-math.expm1(-epsilon)) - log_delta))

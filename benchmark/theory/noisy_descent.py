"""Noisy fine-tuning without assumptions on the loss (Koloskova et al. 2025)."""

from __future__ import annotations

import math

import numpy as np

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require
from benchmark.theory.gaussian import MARGIN, log_delta, m_for

#: Below this the logarithm of delta is left as it is: its square would overflow.
_FLOOR = -1e150


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
    _at_least_one(steps)
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
    _at_least_one(steps)
    return math.exp(_log_delta(epsilon, 2 * radius / sigma, steps))


def model_clipping_steps(
    *, epsilon: float, delta: float, radius: float, sigma: float, most: int = 10_000
) -> int:
    """The fewest steps after which model clipping is (epsilon, delta).

    Args:
        epsilon: at least 0.
        delta: in (0, 1).
        radius: C2.
        sigma: noise per coordinate and step.
        most: steps that are tried.

    Raises:
        AssumptionBroken: if so many steps do not reach delta, or an argument is out of its range.
    """
    require.nonnegative(epsilon=epsilon, radius=radius)
    require.positive(sigma=sigma)
    require.probability(delta=delta)
    r, reached, goal = 2 * radius / sigma, 0.0, math.log(delta)
    for step in range(1, most + 1):
        reached = _after_one_more(epsilon, r, reached)
        if reached <= goal:
            return step
    raise AssumptionBroken(
        f"{most} steps of model clipping reach delta = {math.exp(reached):.3g}, not {delta:.3g}: "
        f"raise sigma, which is {sigma / radius:.3g} radii"
    )


def model_clipping_m(*, radius: float, steps: int, sigma: float) -> float:
    """A GDP parameter of model clipping: at every epsilon the Gaussian's delta at m is no smaller.

    From about the m that fits at epsilon = 0, raised until a grid of epsilons with a bound between
    its points, and one for its tail, confirm it (docs/theory/noisy-training.md). The last step
    alone gives m = 2 C2 / sigma, so the result is never above that.

    Raises:
        AssumptionBroken: if the radius or sigma is not positive.
        LetheError: if there is no step.
    """
    require.positive(radius=radius, sigma=sigma)
    _at_least_one(steps)
    r = 2 * radius / sigma
    if steps == 1:
        return r
    at_zero = model_clipping_delta(epsilon=0.0, radius=radius, steps=steps, sigma=sigma)
    at_zero = max(at_zero, 1e-300)
    m = 1.01 * m_for(0.0, at_zero) if at_zero < 1 else r
    while m < r and not _dominates(m, r, steps):
        m *= 1.02
    return min(m, r)


def _at_least_one(steps: int) -> None:
    if steps < 1:
        raise LetheError(f"noisy descent needs at least one step, not {steps}")


def _log_delta(epsilon: float, r: float, steps: int) -> float:
    """Log of model clipping's delta for 2 C2 / sigma = r, rounded up."""
    reached = 0.0
    for _ in range(steps):
        reached = _after_one_more(epsilon, r, reached)
    return reached


def _after_one_more(epsilon: float, r: float, reached: float) -> float:
    """Log delta_t+1 from log delta_t; no step makes it larger, so one may be left out."""
    if r == 0:
        return -math.inf
    if reached < _FLOOR:
        return reached
    return reached + log_delta(_amplified(epsilon, reached), r)


def _dominates(m: float, r: float, steps: int) -> bool:
    """Whether the Gaussian's delta at m is at least model clipping's, at every epsilon.

    Both decrease in epsilon, so between two points of a grid it is enough that the Gaussian's at
    the upper one is at least the other's at the lower one.
    """
    end = 1.0
    while not _tail_is_below(end, m, r):
        end *= 2
    epsilon, stride = 0.0, 1e-3
    while epsilon < end:
        needed = _log_delta(epsilon, r, steps)
        stride *= 2
        while log_delta(epsilon + stride, m) - 2 * MARGIN < needed:
            stride /= 2
            if stride < 1e-6:
                return False
        epsilon += stride
    return True


def _tail_is_below(epsilon: float, m: float, r: float) -> bool:
    """Whether two steps of model clipping are below the Gaussian at m from `epsilon` on.

    At x >= ln 2 they are at most exp(-b^2 / 2), b = a^2 / 2r - r/2, a = x/r - r/2, and the Gaussian
    at least (1 - 1/e) Phi(-y), y = (x + 1) / m, which is more once b >= y + 1 and y >= 2.
    """
    a, y = epsilon / r - r / 2, (epsilon + 1) / m
    grows = a >= r * r / m  # b then grows faster in x than y does
    return epsilon >= 1 and y >= 2 and grows and a * a / (2 * r) - r / 2 >= y + 1


def _amplified(epsilon: float, reached: float) -> float:
    """Ln(1 + (e^epsilon - 1) / delta) from log delta: e^epsilon may overflow."""
    if epsilon == 0:
        return 0.0
    return float(np.logaddexp(0, epsilon + math.log(-math.expm1(-epsilon)) - reached))

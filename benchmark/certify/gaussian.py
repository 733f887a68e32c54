"""The Gaussian mechanism, exactly (Balle & Wang 2018, theorem 8).

Two Gaussians N(a, sigma^2 I), N(b, sigma^2 I) with ||a - b|| = Delta are (eps, delta)-
indistinguishable if and only if, with m = Delta / sigma,

    delta >= Phi(m/2 - eps/m) - e^eps Phi(-m/2 - eps/m).

All in float64 and, for the tails, in logarithms: epsilon from 1e-3 to 1e9, delta down to 1e-12.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr


def log_delta(epsilon: float, m: float) -> float:
    """Log of the smallest delta at `epsilon` >= 0 for m = Delta / sigma > 0."""
    upper = float(log_ndtr(m / 2 - epsilon / m))
    lower = epsilon + float(log_ndtr(-m / 2 - epsilon / m))
    if lower >= upper:  # the difference is below round-off
        return -math.inf
    return upper + math.log1p(-math.exp(lower - upper))


def delta_for(epsilon: float, m: float) -> float:
    """The smallest delta at `epsilon` >= 0 for m = Delta / sigma >= 0."""
    return math.exp(log_delta(epsilon, m)) if m > 0 else 0.0


def epsilon_for(m: float, delta: float) -> float:
    """The smallest epsilon at `delta` for m = Delta / sigma >= 0, rounded up by 1e-9 relative."""
    if m == 0 or delta_for(0, m) <= delta:
        return 0.0
    goal = math.log(delta)
    # delta <= Phi(m/2 - eps/m) <= exp(-(eps/m - m/2)^2 / 2) bounds epsilon from above.
    most = m * m / 2 + m * math.sqrt(-2 * goal)
    root = brentq(lambda e: _clamped(e, m) - goal, 0.0, most, xtol=1e-13, rtol=1e-13)
    return root * (1 + 1e-9)


def m_for(epsilon: float, delta: float) -> float:
    """The largest m = Delta / sigma at (epsilon, delta), rounded down by 1e-9 relative."""
    goal = math.log(delta)
    least, most = 1e-12, 1.0
    while _clamped(epsilon, most) < goal:
        most *= 2
    root = brentq(lambda m: _clamped(epsilon, m) - goal, least, most, xtol=1e-15, rtol=1e-13)
    return root * (1 - 1e-9)


def sigma_for(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least noise per coordinate that makes distance `sensitivity` (epsilon, delta)."""
    return sensitivity / m_for(epsilon, delta)


def _clamped(epsilon: float, m: float) -> float:
    """`log_delta` with a finite floor, for the root finder."""
    return max(log_delta(epsilon, m), -1e4)

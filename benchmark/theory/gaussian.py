"""The Gaussian mechanism, exactly (Balle & Wang 2018, theorem 8).

Two Gaussians N(u, sigma^2 I), N(v, sigma^2 I) with ||u - v|| = Delta are (epsilon, delta)-
indistinguishable if and only if, with m = Delta / sigma,

    delta >= Phi(m/2 - epsilon/m) - e^epsilon Phi(-m/2 - epsilon/m).

Everything is computed in float64 and in logarithms, for epsilon from 1e-3 to 1e9 and delta down
to 1e-18, and every rounding is towards more noise, more epsilon or more delta.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import erfcx, log_ndtr

from benchmark.theory import require

#: Added to log delta; above its numerical error, which stays below 2e-10 for delta >= 1e-18.
MARGIN = 1e-9


def log_delta(epsilon: float, m: float) -> float:
    """Log of the smallest delta at `epsilon` for m = Delta / sigma > 0, rounded up.

    With a = epsilon/m - m/2 and b = a + m the two terms share a factor,
    e^epsilon Phi(-b) = erfcx(b / sqrt 2) e^(-a^2/2) / 2, so no large exponent is ever cancelled.

    Raises:
        AssumptionBroken: if epsilon is negative, m is not positive or one is not finite.
    """
    require.nonnegative(epsilon=epsilon)
    require.positive(m=m)
    a = epsilon / m - m / 2
    if a > 20:  # far below any delta of use: Phi(-a) alone is an upper bound
        return float(log_ndtr(-a))
    if m < 1e-3:  # the terms agree in their leading digits: integrate the difference instead
        value = math.log(_erfcx_drop(a / math.sqrt(2), m / math.sqrt(2)) / 2) - a * a / 2
    else:
        first = float(log_ndtr(-a))
        second = math.log(erfcx((a + m) / math.sqrt(2)) / 2) - a * a / 2
        value = first + math.log(-math.expm1(second - first))
    return min(0.0, value + MARGIN)


def delta_for(epsilon: float, m: float) -> float:
    """The smallest delta at `epsilon` >= 0 for m = Delta / sigma >= 0, rounded up.

    Raises:
        AssumptionBroken: if an argument is negative or not finite.

    >>> f"{delta_for(1.0, 0.268):.1e}"
    '1.0e-05'
    """
    require.nonnegative(epsilon=epsilon, m=m)
    return math.exp(log_delta(epsilon, m)) if m > 0 else 0.0


def epsilon_for(m: float, delta: float) -> float:
    """The smallest epsilon at `delta` for m = Delta / sigma >= 0, rounded up.

    Raises:
        AssumptionBroken: if m is negative or not finite, or delta is outside (0, 1).

    >>> round(epsilon_for(0.268, 1e-5), 3)
    1.0
    """
    require.nonnegative(m=m)
    require.probability(delta=delta)
    goal = math.log(delta)
    if m == 0 or log_delta(0, m) <= goal:
        return 0.0
    # delta <= Phi(-a) <= exp(-a^2 / 2): at this epsilon delta is small enough for certain.
    most = m * m / 2 + m * (math.sqrt(-2 * goal) + 1)
    root = brentq(lambda e: log_delta(e, m) - goal, 0.0, most, xtol=1e-13, rtol=1e-13)
    return root + 1e-12 * (1 + root)


def m_for(epsilon: float, delta: float) -> float:
    """The largest m = Delta / sigma at (epsilon, delta), rounded down.

    Raises:
        AssumptionBroken: if epsilon is negative or not finite, or delta is outside (0, 1).

    The noise that hides a distance of 1e-3 at (1, 1e-5), per coordinate:

    >>> f"{1e-3 / m_for(1.0, 1e-5):.2e}"
    '3.73e-03'
    """
    require.nonnegative(epsilon=epsilon)
    require.probability(delta=delta)
    goal = math.log(delta)
    # Safe from below: delta <= exp(-a^2 / 2), and at epsilon = 0 delta <= 0.4 m.
    z = math.sqrt(-2 * goal) + 1
    least = math.log(max(2 * epsilon / (z + math.sqrt(z * z + 2 * epsilon)), delta))
    most = least + 1
    while log_delta(epsilon, math.exp(most)) < goal:
        most += 1
    root = brentq(lambda t: log_delta(epsilon, math.exp(t)) - goal, least, most, xtol=1e-13)
    return math.exp(root - 1e-10)  # beyond the noise of log_delta, far below its margin


def _erfcx_drop(x: float, h: float) -> float:
    """Erfcx(x) - erfcx(x + h) for small h: Simpson's rule on the derivative, error O(h^5)."""

    def slope(s: float) -> float:
        return 2 / math.sqrt(math.pi) - 2 * s * float(erfcx(s))

    return h / 6 * (slope(x) + 4 * slope(x + h / 2) + slope(x + h))

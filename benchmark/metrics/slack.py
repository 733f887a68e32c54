"""How far a certificate is from the truth."""

from __future__ import annotations

from benchmark.theory.gaussian import epsilon_for


def distance_slack(bound: float, distance: float) -> float | None:
    """Bound over measured distance to the retrained weights; below 1 the bound is violated.

    None where the distance is 0: no ratio says how loose the bound is.

    >>> distance_slack(2e-3, 1e-3)
    2.0
    """
    if distance == 0:
        return None
    return bound / distance


def realised_epsilon(distance: float, sigma: float, delta: float) -> float | None:
    """The epsilon that the noise gives at the measured distance; None without noise.

    >>> round(realised_epsilon(distance=1e-4, sigma=3.73e-3, delta=1e-5), 2)
    0.08
    """
    return epsilon_for(distance / sigma, delta) if sigma > 0 else None

"""Projections of releases, drawn as they should be or by whatever a method really does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmark.errors import LetheError
from benchmark.theory import require


def draw_projections(
    sigma: float,
    offset: float | np.ndarray,
    direction: np.ndarray | None = None,
    *,
    draws: int = 100_000,
    rng: np.random.Generator,
) -> np.ndarray:
    """(draws,) projections of offset + N(0, sigma^2 I): what a correct release looks like.

    Args:
        sigma: noise per coordinate.
        offset: (d,) noise-free weights relative to the reference, or their distance to it.
        direction: (d,) to project on; by default the worst, that of the offset itself.
        draws: number of them.
        rng: source of the noise.

    Raises:
        AssumptionBroken: if sigma is negative or not finite.
        LetheError: if the direction is zero, or given for an offset that is a distance.
    """
    require.nonnegative(sigma=sigma)
    offset = np.asarray(offset, dtype=np.float64)
    # The projection of N(0, sigma^2 I) on any unit vector is N(0, sigma^2).
    noise = sigma * rng.standard_normal(draws)
    if direction is None:
        return float(np.linalg.norm(offset)) + noise
    if offset.ndim == 0:
        raise LetheError("a direction needs the offset as a vector, not as a distance")
    return float(offset @ _unit(direction)) + noise


def project_draws(draw: Callable[[], np.ndarray], direction: np.ndarray, draws: int) -> np.ndarray:
    """(draws,) projections of vectors that a method really drew, one call each.

    Args:
        draw: gives (d,), e.g. released weights minus the reference's weights before noise.
        direction: (d,) to project on.
        draws: number of calls.

    Raises:
        LetheError: if the direction is zero.
    """
    unit = _unit(direction)
    return np.array([float(np.asarray(draw(), dtype=np.float64) @ unit) for _ in range(draws)])


def _unit(direction: np.ndarray) -> np.ndarray:
    direction = np.asarray(direction, dtype=np.float64)
    norm = np.linalg.norm(direction)
    if not norm > 0:
        raise LetheError("cannot project on a direction of length 0")
    return direction / norm

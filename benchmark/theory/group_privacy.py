"""DP-SGD over a whole group of rows: a mixture of Gaussians, composed over the steps.

A step takes every row into its batch with probability q, clips each row's gradient to norm C and
adds N(0, (z C)^2 I) to their sum. Leaving out k rows changes the sum by at most C times the number
of them in the batch, which is Binomial(k, q). So a step is no easier to tell apart than N(0, z^2)
from a mixture of N(j, z^2), j ~ Binomial(k, q) (Choquette-Choo et al. 2024, corollary 4.7), in
either direction: rows added or removed. Delta of one step is computed here, on a grid of losses;
dp-accounting joins the dots and composes the steps numerically, every rounding towards more delta.

Sampling only helps: one Gaussian with m = k sqrt(T) / z, the group in every batch, bounds delta as
well and is exact down to 1e-18. The smaller of the two counts, and the Gaussian stands alone where
the grid has nothing to add: for a delta of at most T times `ROUNDING`, at q = 1, and where the
losses of a step spread over more than `LOSSES` times `COARSEST`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require
from benchmark.theory.gaussian import delta_for, epsilon_for, m_for

Array = NDArray[np.float64]

#: Width of the grid of losses, or a tenth of their root mean square in one step if that is less:
#: it adds below 1 % to delta at 100 steps and epsilon 1.
INTERVAL = 2e-3
#: Greatest width of the grid: a wider one would add up to that much to epsilon at every step.
COARSEST = 1.0
#: Most points of the grid of one step, about; where they spread further, the grid is wider.
LOSSES = 2**13
#: Most points of the grid of all steps, about.
COMPOSED = 2**20
#: Probability that is left out at either end of a step's noise, and of a number of hits.
TAIL = 1e-22
#: Relative error, at most, of a probability or an exponent that is computed here: a few ulps.
ULPS = 2.0**-50
#: Added to every delta of a step: more than the tails that are left out, and than the error of
#: composing by FFT, which is at most 3e-16 a step (measured against long double).
ROUNDING = 1e-15
#: No less noise is asked for, however rarely a row is sampled, unless no sampling needs less.
LEAST = 0.01


def group_delta(
    *, epsilon: float, group: int, rate: float, steps: int, noise_multiplier: float
) -> float:
    """Delta at `epsilon` of so many steps, for any group of at most `group` rows, rounded up.

    Args:
        epsilon: at least 0.
        group: k, rows that are left out together.
        rate: q, the probability of a row to be in a batch, each row and step on its own.
        steps: T.
        noise_multiplier: z, noise on the sum of clipped gradients over their clipping norm.

    Raises:
        AssumptionBroken: if epsilon is negative, z is not positive or q outside (0, 1].
        LetheError: if there is no row or no step.
    """
    require.nonnegative(epsilon=epsilon)
    _check(group, rate, steps)
    unsampled = delta_for(
        epsilon, group_m(group=group, steps=steps, noise_multiplier=noise_multiplier)
    )
    if unsampled <= steps * ROUNDING:
        return unsampled
    sampled = _composed(group, rate, steps, noise_multiplier)
    return min(unsampled, sampled(epsilon)) if sampled else unsampled


def group_epsilon(
    *, delta: float, group: int, rate: float, steps: int, noise_multiplier: float
) -> float:
    """Epsilon at `delta` of so many steps, for any group of at most `group` rows, rounded up.

    Raises:
        AssumptionBroken: if delta is outside (0, 1), z is not positive or q outside (0, 1].
        LetheError: if there is no row or no step.
    """
    require.probability(delta=delta)
    _check(group, rate, steps)
    unsampled = epsilon_for(
        group_m(group=group, steps=steps, noise_multiplier=noise_multiplier), delta
    )
    if delta <= steps * ROUNDING:
        return unsampled
    sampled = _composed(group, rate, steps, noise_multiplier)
    return _inverse(sampled, delta, unsampled) if sampled else unsampled


@lru_cache(maxsize=64)
def group_noise_multiplier(
    *, epsilon: float, delta: float, group: int, rate: float, steps: int
) -> float:
    """The least z that makes a group of `group` rows (epsilon, delta), rounded up by some 0.2 %.

    Raises:
        AssumptionBroken: if epsilon is not positive, delta outside (0, 1) or q outside (0, 1].
        LetheError: if there is no row or no step.
    """
    require.positive(epsilon=epsilon)
    require.probability(delta=delta)
    _check(group, rate, steps)
    most = group * math.sqrt(steps) / m_for(epsilon, delta)  # enough without sampling
    if rate == 1 or delta <= steps * ROUNDING or most <= LEAST:
        return most

    def excess(log_z: float) -> float:
        z = math.exp(log_z)
        shared = {"group": group, "rate": rate, "steps": steps, "noise_multiplier": z}
        return math.log(max(group_delta(epsilon=epsilon, **shared), 1e-300) / delta)

    # the guess: were every batch to hold the mean number of the group's rows
    ends = _bracket(excess, math.log(max(rate * most, LEAST)), math.log(LEAST), math.log(most))
    if ends is None:
        return LEAST
    return min(math.exp(_first_at_most_0(excess, brentq(excess, *ends, xtol=1e-3), 1e-3)), most)


def group_m(*, group: int, steps: int, noise_multiplier: float) -> float:
    """A GDP parameter that holds at every epsilon: k sqrt(T) / z, all the group in every batch.

    Sampling makes delta smaller wherever it is of use, but the far tail, where all k rows are in
    the batch, is that of this Gaussian: no smaller m is true of all (epsilon, delta).

    Raises:
        AssumptionBroken: if z is not positive.
        LetheError: if there is no row or no step.
    """
    require.positive(noise_multiplier=noise_multiplier)
    _check(group, 1.0, steps)
    return group * math.sqrt(steps) / noise_multiplier


def _bracket(
    excess: Callable[[float], float], start: float, least: float, most: float
) -> tuple[float, float] | None:
    """Ends between which `excess` falls to 0 or below; None if it has by `least` already.

    Args:
        excess: at most 0 at `most`.
        start: where the search begins, in steps of 0.1 that double.
        least: the lowest end.
        most: the highest end.
    """
    low = high = start
    width = 0.1
    if excess(start) > 0:
        while excess(high) > 0:
            low, high, width = high, min(high + width, most), 2 * width
        return low, high
    while excess(low) <= 0:
        if low <= least:
            return None
        low, high, width = max(low - width, least), low, 2 * width
    return low, high


def _inverse(delta_at: Callable[[float], float], delta: float, most: float) -> float:
    """The least epsilon below `most` whose delta is at most `delta`, rounded up; else `most`."""

    def excess(epsilon: float) -> float:
        return math.log(delta_at(epsilon) / delta)

    if excess(0.0) <= 0:
        return 0.0
    if excess(most) >= 0:
        return most
    root = brentq(excess, 0.0, most, xtol=1e-13, rtol=1e-13)
    return min(_first_at_most_0(excess, root, 1e-12 * (1 + root)), most)


def _first_at_most_0(excess: Callable[[float], float], root: float, width: float) -> float:
    """The root of `excess`, raised by steps that double from `width` until it is at most 0."""
    while excess(root) > 0:
        root, width = root + width, 2 * width
    return root


@lru_cache(maxsize=8)
def _composed(
    group: int, rate: float, steps: int, noise_multiplier: float
) -> Callable[[float], float] | None:
    """Delta of all steps as a function of epsilon, kept for a while; None where it is of no use.

    Raises:
        LetheError: if dp-accounting is not installed.
    """
    if rate == 1:
        return None
    shifts, logs = _hits(group, rate, noise_multiplier)
    noise, losses, spread = _table(shifts, logs)
    interval = _interval(losses[-1] - losses[0], spread, steps)
    if interval > COARSEST:
        return None
    first, last = math.floor(losses[0] / interval), math.ceil(losses[-1] / interval)
    grid = interval * np.arange(first, last + 1)
    start = noise[np.minimum(np.searchsorted(losses, grid), len(noise) - 1)]
    removed, added = _curves(_solve(grid, start, noise[0], shifts, logs), grid, shifts, logs)
    return _compose(interval, steps, (first, removed), (-last, added[::-1]))


def _interval(span: float, spread: float, steps: int) -> float:
    """Width of a grid that is fine enough, or else as fine as `LOSSES` and `COMPOSED` allow.

    Args:
        span: of one step's losses.
        spread: their mean square.
        steps: T.
    """
    if span == 0:
        return INTERVAL
    fine = min(INTERVAL, math.sqrt(spread) / 10)
    return max(fine, span / LOSSES, steps * spread / (2 * span * COMPOSED))


def _hits(group: int, rate: float, noise_multiplier: float) -> tuple[Array, Array]:
    """Means of the mixture over the noise's deviation, and the logarithms of their weights."""
    from scipy.stats import binom  # half a second to import, and only needed here

    hits = np.arange(group + 1)
    weights = binom.pmf(hits, group, rate)
    likely = weights > TAIL
    return hits[likely] / noise_multiplier, np.log(weights[likely])


def _loss(noise: Array, shifts: Array, logs: Array) -> tuple[Array, Array]:
    """Log density of the mixture over that of N(0, 1) at `noise`, and its slope: both increase."""
    exponents = logs + np.multiply.outer(noise, shifts) - shifts**2 / 2
    top = exponents.max(axis=1)
    parts = np.exp(exponents - top[:, None])
    whole = parts.sum(axis=1)
    return top + np.log(whole), parts @ shifts / whole


def _table(shifts: Array, logs: Array) -> tuple[Array, Array, float]:
    """Noise in even steps from tail to tail, its losses, and their mean square if it is larger."""
    rare = math.log(TAIL)
    low, high = -math.sqrt(-2 * rare), np.max(shifts + np.sqrt(2 * (logs - rare)))
    noise = np.linspace(low, high, 4096)
    losses, _ = _loss(noise, shifts, logs)
    densities = np.exp(np.minimum(np.maximum(losses, 0) - noise**2 / 2, 0))  # times sqrt(2 pi)
    square = np.trapezoid(losses**2 * densities, noise) / math.sqrt(2 * math.pi)
    return noise, losses, float(square)


def _solve(goal: Array, start: Array, least: float, shifts: Array, logs: Array) -> Array:
    """Noise at which the loss is `goal`: Newton's method for a convex, increasing function.

    A start below the root is thrown above it, from where it falls without ever passing below.
    """
    noise = start
    for _ in range(100):
        value, slope = _loss(noise, shifts, logs)
        last, noise = noise, np.maximum(noise - (value - goal) / np.maximum(slope, 1e-300), least)
        if np.max(np.abs(noise - last)) <= 1e-12 * start[-1]:
            break
    return noise


def _curves(noise: Array, losses: Array, shifts: Array, logs: Array) -> tuple[Array, Array]:
    """Delta of one step, rounded up: at `losses` if rows are removed, at minus them if added.

    Either is the difference of what both distributions put on one side of `noise`, where the loss
    is `losses`; a `noise` slightly off makes it too small by no more than the error squared.
    """
    weights = np.exp(logs)
    apart = np.subtract.outer(noise, shifts)
    with np.errstate(divide="ignore"):
        mixed = np.log(ndtr(apart) @ weights)
    removed = _difference(ndtr(-apart) @ weights, losses, log_ndtr(-noise))
    return removed, _difference(ndtr(noise), -losses, mixed)


def _difference(upper: Array, losses: Array, log_lower: Array) -> Array:
    """The probability `upper` less e^loss times the one whose logarithm is given, rounded up."""
    error = np.minimum(ULPS * (1 + np.abs(losses) + np.abs(log_lower)), 1)
    return upper * (1 + ULPS) - np.exp(losses + log_lower) * (1 - error) + ROUNDING


def _compose(interval: float, steps: int, *curves: tuple[int, Array]) -> Callable[[float], float]:
    """Delta of all steps as a function of epsilon: the larger of two directions.

    Args:
        interval: width of the grid of losses.
        steps: T.
        curves: of each direction the number of the grid's first point and delta from there on.
    """
    try:
        from dp_accounting.pld import pld_pmf
        from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
    except ImportError as error:
        raise LetheError(f"group privacy wants dp-accounting: pip install it ({error})") from error
    directions = []
    for first, deltas in curves:
        falling = np.maximum.accumulate(np.clip(deltas, 0, 1)[::-1])[::-1]
        step = pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(
            interval, first, first + len(deltas) - 1, falling
        )
        directions.append(step.to_dense_pmf().self_compose(steps))
    both = PrivacyLossDistribution(*directions)
    return lambda epsilon: float(both.get_delta_for_epsilon(epsilon))


def _check(group: int, rate: float, steps: int) -> None:
    if group < 1 or steps < 1:
        raise LetheError(f"a group of {group} rows and {steps} steps: both must be at least 1")
    if not 0 < rate <= 1:
        raise AssumptionBroken(
            f"Poisson sampling takes each row with a probability in (0, 1]; the rate is {rate:.3g}"
        )

"""DP-SGD over a whole group of rows: a mixture of Gaussians, composed over the steps.

A step takes every row into its batch with probability q, clips each row's gradient to norm C and
adds N(0, (z C)^2 I) to their sum. Leaving out k rows changes the sum by at most C times the number
of them in the batch, which is Binomial(k, q). So a step is no easier to tell apart than N(0, z^2)
from a mixture of N(j, z^2), j ~ Binomial(k, q) (Choquette-Choo et al. 2024, corollary 4.7), in
either direction: rows added or removed. dp-accounting composes such steps numerically, with every
rounding towards more delta.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from benchmark.certify import require
from benchmark.certify.gaussian import m_for
from benchmark.contract.certificate import Certificate, Constant
from benchmark.errors import AssumptionBroken, LetheError

#: Width of the grid of privacy losses: it adds below 1 % to delta at 100 steps and epsilon 1.
INTERVAL = 2e-3
#: No less noise is asked for, however rarely a row is sampled: the grid would not fit in memory.
LEAST = 0.3


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
    return float(_account(group, rate, steps, noise_multiplier).get_delta(epsilon))


def group_epsilon(
    *, delta: float, group: int, rate: float, steps: int, noise_multiplier: float
) -> float:
    """Epsilon at `delta` of so many steps, for any group of at most `group` rows, rounded up.

    Raises:
        AssumptionBroken: if delta is outside (0, 1), z is not positive or q outside (0, 1].
        LetheError: if there is no row or no step.
    """
    require.probability(delta=delta)
    return float(_account(group, rate, steps, noise_multiplier).get_epsilon(delta))


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

    def excess(log_z: float) -> float:
        z = math.exp(log_z)
        shared = {"group": group, "rate": rate, "steps": steps, "noise_multiplier": z}
        return math.log(max(group_delta(epsilon=epsilon, **shared), 1e-300) / delta)

    # were every batch to hold the mean number of the group's rows
    guess = rate * group * math.sqrt(steps) / m_for(epsilon, delta)
    low = high = math.log(max(guess, LEAST))
    while excess(low) <= 0:
        if low <= math.log(LEAST):
            return LEAST
        low = max(low - 0.1, math.log(LEAST))
    while excess(high) > 0:
        high += 0.1
    log_z = brentq(excess, low, high, xtol=1e-3)
    while excess(log_z) > 0:
        log_z += 1e-3
    return math.exp(log_z)


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


def group_certificate(
    *,
    epsilon: float,
    delta: float,
    step: float,
    clip: float,
    group: int,
    rate: float,
    steps: int,
    noise_multiplier: float,
) -> Certificate:
    """What holds, by the noise of training alone, when at most `group` rows are forgotten.

    Args:
        epsilon: by `group_epsilon`.
        delta: that it holds at.
        step: how far a step goes along the sum of clipped gradients, eta over the divisor.
        clip: C.
        group: k.
        rate: q.
        steps: T.
        noise_multiplier: z.
    """
    m = group_m(group=group, steps=steps, noise_multiplier=noise_multiplier)
    sigma = step * noise_multiplier * clip
    settings = {
        "group": (group, "k, rows that may be forgotten in all"),
        "rate": (rate, "q, a row is in a batch with this probability"),
        "steps": (steps, "T, steps of training"),
        "clip": (clip, "C, the norm that every row's gradient is clipped to"),
        "noise_multiplier": (noise_multiplier, "z, noise on a sum of gradients over C"),
    }
    return Certificate(
        definition="retrain",
        mode="budgeted",
        theorem="group privacy of DP-SGD, mixture of Gaussians over Binomial(k, q) hits",
        epsilon=epsilon,
        delta=delta,
        sensitivity=m * sigma,
        sigma=sigma,
        noise="inside",
        constants=tuple(
            Constant(name=name, value=value, provenance="exact", meaning=meaning)
            for name, (value, meaning) in settings.items()
        ),
    )


@lru_cache(maxsize=64)
def _account(group: int, rate: float, steps: int, noise_multiplier: float) -> Any:
    """A PLDAccountant of the composed privacy loss, kept for the process: it takes a second."""
    _check(group, rate, steps)
    require.positive(noise_multiplier=noise_multiplier)
    try:
        from dp_accounting.dp_event import MixtureOfGaussiansDpEvent
        from dp_accounting.pld import PLDAccountant
    except ImportError as error:
        raise LetheError(f"group privacy wants dp-accounting: pip install it ({error})") from error
    hits = np.arange(group + 1)
    event = MixtureOfGaussiansDpEvent(
        noise_multiplier, hits.astype(float), binom.pmf(hits, group, rate)
    )
    account = PLDAccountant(value_discretization_interval=INTERVAL)
    return account.compose(event, steps)


def _check(group: int, rate: float, steps: int) -> None:
    if group < 1 or steps < 1:
        raise LetheError(f"a group of {group} rows and {steps} steps: both must be at least 1")
    if not 0 < rate <= 1:
        raise AssumptionBroken(
            f"Poisson sampling takes each row with a probability in (0, 1]; the rate is {rate:.3g}"
        )

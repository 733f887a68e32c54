"""What several releases prove together, and what may fail on the way."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from benchmark.errors import AssumptionBroken
from benchmark.theory import require
from benchmark.theory.gaussian import epsilon_for


@dataclass(frozen=True)
class StreamEpsilon:
    """Epsilon of one release of a stream: alone, and with all releases before it."""

    release: float
    composed: float


def composed_m(ms: Iterable[float]) -> float:
    """Releases that are m_i-GDP are sqrt(sum m_i^2)-GDP together (Dong, Roth & Su 2022).

    Args:
        ms: Delta_i / sigma_i; requests fixed in advance and noise drawn afresh for each.

    Raises:
        AssumptionBroken: if an m is negative or not finite.
    """
    ms = list(ms)
    for m in ms:
        require.nonnegative(m=m)
    return math.hypot(*ms)


def stream_epsilons(ms: Iterable[float], delta: float) -> list[StreamEpsilon]:
    """Epsilon at `delta` after each release of a stream.

    Args:
        ms: Delta_i / sigma_i, in order.
        delta: spent once on the release alone and, separately, once on the whole prefix.

    Raises:
        AssumptionBroken: if an m is negative or not finite, or delta is outside (0, 1).
    """
    ms = list(ms)
    totals = accumulate(ms, lambda total, m: composed_m((total, m)))
    return [
        StreamEpsilon(epsilon_for(m, delta), epsilon_for(total, delta))
        for m, total in zip(ms, totals, strict=True)
    ]


@dataclass(frozen=True)
class Capacity:
    """How far a budget goes.

    Attributes:
        spent: sqrt(sum Delta_i^2) / Delta_0 after the requests so far.
        requests: that fit the budget together; an extrapolation while it is not exhausted.
        exhausted: whether the requests so far exceed the budget.
    """

    spent: float
    requests: int
    exhausted: bool


def deletion_capacity(reached: Iterable[float], budget: float) -> Capacity:
    """How many requests a budget allows before retraining is due.

    With sigma made for a distance Delta_0 at (epsilon, delta), releases at distances Delta_i are
    together (epsilon, delta) as long as sqrt(sum Delta_i^2) <= Delta_0 (`composed_m`).

    Args:
        reached: Delta_i, in order, at least one.
        budget: Delta_0.

    Raises:
        AssumptionBroken: if the budget or every distance is zero, or one is negative.
    """
    require.positive(budget=budget)
    totals = list(accumulate(reached, lambda total, delta: composed_m((total, delta))))
    require.positive(reached=totals[-1])
    spent = totals[-1] / budget
    if spent > 1:
        return Capacity(spent, sum(total <= budget for total in totals), True)
    # at the root mean square of the distances so far
    return Capacity(spent, math.floor(len(totals) / spent**2), False)


def total_delta(delta: float, *failures: float) -> float:
    """The delta a release may claim: the noise's plus every failure probability it rests on.

    Args:
        delta: of the noise.
        failures: of a randomised solver, a spectral estimate, ...

    Raises:
        AssumptionBroken: if a number is negative or not finite, or the sum reaches 1.
    """
    require.nonnegative(delta=delta)
    for failure in failures:
        require.nonnegative(failure_probability=failure)
    total = math.fsum((delta, *failures))
    if total >= 1:
        raise AssumptionBroken(f"delta and the failure probabilities add up to {total:.3g} >= 1")
    return total


def noise_delta(target: float, *failures: float) -> float:
    """The delta left for the noise when the release must meet `target` in all.

    Raises:
        AssumptionBroken: if the failure probabilities leave nothing, or one is negative.
    """
    require.probability(delta=target)
    spent = total_delta(0.0, *failures)
    if spent >= target:
        raise AssumptionBroken(
            f"failure probabilities of {spent:.3g} leave nothing of delta = {target:.3g}"
        )
    return target - spent

"""How many releases a noise that was fixed beforehand lasts for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from benchmark.theory import require


@dataclass(frozen=True)
class Capacity:
    """How far a budget goes.

    Attributes:
        spent: sqrt(sum Delta_i^2) / Delta_0 after the requests so far.
        requests: that fit the budget together; an extrapolation while it is not exhausted, None
            where nothing is spent.
        exhausted: whether the requests so far exceed the budget.
    """

    spent: float
    requests: int | None
    exhausted: bool


def deletion_capacity(reached: Iterable[float], budget: float) -> Capacity:
    """How many requests a budget allows before retraining is due.

    With sigma made for a distance Delta_0 at (epsilon, delta), releases at distances Delta_i are
    together (epsilon, delta) as long as sqrt(sum Delta_i^2) <= Delta_0 (Dong, Roth & Su 2022).

    Args:
        reached: Delta_i, in order, at least one.
        budget: Delta_0.

    Raises:
        AssumptionBroken: if the budget is zero, or a distance negative.
    """
    require.positive(budget=budget)
    reached = list(reached)
    for distance in reached:
        require.nonnegative(reached=distance)
    totals = list(accumulate(reached, math.hypot))
    spent = totals[-1] / budget
    if spent == 0:
        return Capacity(spent, None, False)
    if spent > 1:
        return Capacity(spent, sum(total <= budget for total in totals), True)
    # at the root mean square of the distances so far
    return Capacity(spent, math.floor(len(totals) / spent**2), False)

"""Lemma B: a bound that presumes a first one needs none."""

from __future__ import annotations

import math
from collections.abc import Callable

#: A value is tried at this factor above what the last one gave, and refined so many times at most.
_STEP, _REFINEMENTS = 1.02, 100
#: Refining ends where it gains no more than this share.
_GAIN = 1e-6
#: F(D) is below D by more than what rounding may hide.
_ROUNDING = 1e-12


def bootstrapped(bound: Callable[[float], float], start: float) -> float:
    """A d with ||w - w_r|| <= d, found from below; infinite where there is none.

    Where F(D) < D for some D, every F(d) bounds the distance from d = D on (Lemma B). The least
    such D is looked for from `start` upwards and F is then applied as long as that helps.

    Args:
        bound: F, increasing, convex and continuous, of the kind that the lemma wants.
        start: a first value, above 0 and below every D with F(D) < D.
    """
    if start <= 0:
        return math.inf
    d, excess = start, math.inf
    while not (value := bound(d)) < d * (1 - _ROUNDING):
        # F(d) - d is convex: where it stops falling it never becomes negative
        if not value - d < excess:
            return math.inf
        d, excess = _STEP * value, value - d
    for _ in range(_REFINEMENTS):
        d, value = value, bound(value)
        if not value < d * (1 - _GAIN):
            break
    return min(d, value)

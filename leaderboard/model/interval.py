"""A mean over seeds and its t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import fmean, stdev

from scipy.stats import t as student

#: Coverage of every interval on the board.
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: arithmetic, or geometric.
        spread: half the width of the t interval; of a geometric mean, the factor by which the
            interval reaches up and down. None with one seed.
        n: how many seeds.
    """

    mean: float
    spread: float | None
    n: int


def arithmetic(values: Sequence[float]) -> Estimate:
    """Mean and half-width of the t interval of one value or more."""
    return _arithmetic(tuple(values))


@lru_cache(maxsize=1 << 16)  # a page asks for the same numbers again and again
def _arithmetic(values: tuple[float, ...]) -> Estimate:
    n = len(values)
    if n == 1:
        return Estimate(values[0], None, 1)
    return Estimate(fmean(values), _quantile(n - 1) * stdev(values) / math.sqrt(n), n)


@cache
def _quantile(freedom: int) -> float:
    """Quantile of Student's t with so many degrees of freedom, for the end of an interval."""
    return float(student.ppf((1 + LEVEL) / 2, freedom))


def geometric(values: Sequence[float]) -> Estimate:
    """Geometric mean of positive values and the factor of its interval, taken on logarithms."""
    logs = arithmetic([math.log(value) for value in values])
    spread = None if logs.spread is None else math.exp(logs.spread)
    return Estimate(math.exp(logs.mean), spread, logs.n)

"""What a few seeds allow to be said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t as student

from benchmark.errors import LetheError
from benchmark.metrics.measure import scores

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: of what was measured.
        low, high: ends; None with a single seed, which says nothing of its spread.
        n: how many measurements.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


def paired_interval(ours: np.ndarray, theirs: np.ndarray, level: float = LEVEL) -> Interval:
    """The t interval of the mean of ours - theirs, over seeds that both share.

    Differences are taken seed by seed: what a seed does to both cancels. A percentile bootstrap
    over so few seeds covers too little (78 % over three, for 95 %).

    Args:
        ours: (seeds,) values.
        theirs: (seeds,) values under the same seeds, split and forget set.
        level: coverage.

    Raises:
        LetheError: if the two do not pair up, or a value is not a finite number.
    """
    first, second = scores(ours, "ours", 1), scores(theirs, "theirs", 1)
    if len(first) != len(second):
        raise LetheError("paired values need the same seeds on both sides")
    differences = first - second
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    half = student.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n)
    return Interval(mean, mean - float(half), mean + float(half), n)


def bootstrap_interval(
    statistic: Callable[..., float],
    arrays: tuple[np.ndarray, ...],
    rng: np.random.Generator,
    *,
    paired: bool = True,
    draws: int = 1000,
    level: float = LEVEL,
) -> Interval:
    """A percentile interval over examples, models held fixed (Efron 1979).

    Args:
        statistic: of arrays like `arrays`.
        arrays: each with examples along its last axis.
        rng: for the resamples.
        paired: whether all arrays hold the same examples, which are then drawn together.
        draws: number of resamples.
        level: coverage.

    Raises:
        LetheError: if there is no example, or paired arrays differ in length.
    """
    sizes = [np.shape(array)[-1] for array in arrays]
    if not sizes or min(sizes) == 0 or (paired and len(set(sizes)) > 1):
        raise LetheError("a bootstrap needs examples, and as many in each paired array")
    values = []
    for _ in range(draws):
        index = rng.integers(sizes[0], size=sizes[0])
        chosen = [index if paired else rng.integers(size, size=size) for size in sizes]
        values.append(statistic(*(a[..., i] for a, i in zip(arrays, chosen, strict=True))))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(*arrays)), float(low), float(high), sizes[0])


@dataclass(frozen=True)
class RetrainVerdict:
    """Whether a method can be told from retraining on one metric.

    Attributes:
        kind: `undecided` with a single seed.
        excess: the metric beyond its floor, the value of retrain against another retrain.
        resolution: how large an excess these seeds could have missed; None if undecided.
    """

    kind: Literal["indistinguishable", "distinguishable", "undecided"]
    excess: Interval
    resolution: float | None

    @property
    def text(self) -> str:
        """The verdict as a board prints it."""
        if self.kind == "undecided":
            return "undecided with one seed"
        return f"{self.kind} from retrain at {self.excess.n}"


def verdict(
    ours: np.ndarray,
    floor: np.ndarray,
    direction: Literal["higher", "lower", "zero"],
    level: float = LEVEL,
) -> RetrainVerdict:
    """Compare a method with a second retraining, seed by seed.

    A paired t test that calls retraining distinguishable with probability 1 - `level`. Where one
    side is better it is one-sided: to come closer to the reference than a second retraining does
    is no failure to forget.

    Args:
        ours: (seeds,) of the method.
        floor: (seeds,) of retrain against retrain, same metric, seeds and forget sets.
        direction: the metric's; for `zero` both are signed gaps to retrain.
        level: of confidence.

    Raises:
        LetheError: if the two do not pair up, or a value is not a finite number.
    """
    coverage = level if direction == "zero" else 2 * level - 1
    excess = paired_interval(ours, floor, coverage)
    if excess.low is None or excess.high is None:
        return RetrainVerdict("undecided", excess, None)
    above, below = excess.low > 0, excess.high < 0
    told = {"lower": above, "higher": below, "zero": above or below}[direction]
    resolution = (excess.high - excess.low) / 2
    return RetrainVerdict("distinguishable" if told else "indistinguishable", excess, resolution)


def tie_groups(
    values: Mapping[str, np.ndarray],
    floor: np.ndarray,
    direction: Literal["higher", "lower", "zero"],
    level: float = LEVEL,
) -> list[list[str]]:
    """Methods from best to worst, those that cannot be told apart in one group.

    A method joins the group of a better one if their mean difference is no larger than the mean
    |floor|, which is what separates two perfect answers, or if the paired t interval of the
    difference holds 0. Each group is compared with its first member, so ties do not chain.

    Args:
        values: name to (seeds,) values.
        floor: (seeds,) of retrain against retrain, as a distance or a signed gap.
        direction: the metric's.
        level: of the intervals.

    Raises:
        LetheError: if seeds do not pair up, or a value is not a finite number.
    """
    badness: dict[str, Callable[[np.ndarray], np.ndarray]]
    badness = {"lower": lambda v: v, "higher": lambda v: -v, "zero": np.abs}
    columns = {name: badness[direction](scores(column, name, 1)) for name, column in values.items()}
    tolerance = float(np.abs(scores(floor, "floor", 1)).mean())
    groups: list[list[str]] = []
    for name in sorted(columns, key=lambda name: (columns[name].mean(), name)):
        if groups and _tied(columns[name], columns[groups[-1][0]], tolerance, level):
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def _tied(ours: np.ndarray, best: np.ndarray, tolerance: float, level: float) -> bool:
    difference = paired_interval(ours, best, level)
    if abs(difference.mean) <= tolerance:
        return True
    if difference.low is None or difference.high is None:
        return False
    return difference.low <= 0 <= difference.high

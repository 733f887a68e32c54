"""Relearn time: how fast a model learns again what it should not know."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.errors import LetheError
from benchmark.metrics.measure import Measure


@dataclass(frozen=True)
class RelearnTime:
    """Training steps until the forgotten rows were learnt.

    Attributes:
        steps: 1 or more.
        censored: the limit came first, so that `steps` is a lower bound.
    """

    steps: int
    censored: bool


def relearn_time(step: Callable[[], float], target: float, limit: int) -> RelearnTime:
    """Train until the loss on the forgotten rows is `target` or less.

    Args:
        step: trains once more (a step or an epoch) and returns the loss afterwards.
        target: the loss to reach, the same for every model, e.g. the original model's.
        limit: after so many steps it is given up.

    Raises:
        LetheError: if the limit is below 1, or the loss stops being a number.
    """
    if limit < 1:
        raise LetheError("relearning needs a limit of at least one step")
    for count in range(1, limit + 1):
        loss = step()
        if math.isnan(loss):
            raise LetheError("relearning diverged: the loss is not a number; lower its step")
        if loss <= target:
            return RelearnTime(count, censored=False)
    return RelearnTime(limit, censored=True)


def relearn_ratio(unlearned: RelearnTime, retrained: RelearnTime) -> dict[str, Measure]:
    """Relearn time over the retrained model's, and |log| of it as a distance from the ideal 1.

    Below 1 something was left to build on; above 1 the model resists more than one that never
    saw the rows, which tells as much. Not defined where the retrained model hit the limit.
    """
    bounds = (0.0, math.inf)
    times = unlearned.steps / retrained.steps
    ratio: float | None = times
    gap: float | None = abs(math.log(times))
    note = gap_note = "censored: at least" if unlearned.censored else ""
    if retrained.censored:
        ratio = gap = None
        note = gap_note = f"the retrained model did not relearn within {retrained.steps} steps"
    elif unlearned.censored and times < 1:  # the true ratio may lie on either side of 1
        gap, gap_note = None, "censored: not known"
    return {
        "relearn_ratio": Measure(ratio, "none", bounds, note=note),
        "relearn_gap": Measure(gap, "lower", bounds, note=gap_note),
    }

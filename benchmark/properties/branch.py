"""Branch and bound over the boxes of a domain, with a budget in boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmark.problem.domain import Domain
from benchmark.properties.finding import Pair
from benchmark.properties.slopes import Boxes, Net, slope_bounds

#: Boxes that are bounded at a time.
_CHUNK = 512
#: Points with a slope of the wrong sign near which a pair is looked for.
_TRIES = 64


@dataclass(frozen=True)
class Outcome:
    """Result of the search.

    Attributes:
        margin: a sound lower bound of the slope over the whole domain.
        boxes: that were bounded.
        done: whether every box has a bound that is not below the tolerance.
        pair: of inputs that contradicts it; None if none was found.
    """

    margin: float
    boxes: int
    done: bool
    pair: Pair | None = None


def least_slope(
    net: Net,
    domain: Domain,
    place: int,
    sign: int,
    *,
    budget: int,
    tolerance: float,
    show: Callable[[np.ndarray], Pair | None],
) -> Outcome:
    """Bound sign * slope by input `place` from below, until it is -tolerance or a pair is found.

    Boxes are cut depth first, so that few are kept at a time. The search ends where no pair is
    found near the first points whose slope is below -tolerance: nothing can be proved any more. A
    member of an ensemble that rises all the same has such points.

    Args:
        net: with one output.
        domain: of its inputs.
        place: of the input.
        sign: 1 or -1.
        budget: boxes after which none are taken up; those taken up together may go beyond it.
        tolerance: positive.
        show: finds a pair near a point (inputs,) that contradicts monotonicity, or None.
    """
    stack = [(np.array([-np.inf]), Boxes.whole(domain))]
    settled, boxes, stuck, tried = np.inf, 0, False, 0
    while stack:
        if boxes >= budget:
            margin = min(settled, *(float(above.min()) for above, _ in stack))
            return Outcome(margin, boxes, done=False)
        above, chunk = stack.pop()
        found = slope_bounds(net, chunk, place, sign)
        values = np.maximum(found.values, above)
        boxes += len(chunk)
        bad = np.flatnonzero(values < -tolerance)
        settled = min(settled, *np.delete(values, bad), np.inf)
        if len(bad) == 0:
            continue
        slopes = sign * net.slopes(found.where[bad], place)
        worst = int(slopes.argmin())
        if slopes[worst] < -tolerance:
            tried, pair = tried + 1, show(found.where[bad[worst]])
            if pair is not None or tried == _TRIES:
                pending = [float(one.min()) for one, _ in stack]
                return Outcome(min(settled, *values[bad], *pending), boxes, False, pair)
        halves = chunk.take(bad).halves(found.score[bad])
        if len(halves) < 2 * len(bad):  # a point that cannot be cut: nothing is proved of it
            stuck, settled = True, min(settled, float(values[bad].min()))
        bounds = np.tile(values[bad], 2) if len(halves) == 2 * len(bad) else None
        for start in range(0, len(halves), _CHUNK):
            part = np.arange(start, min(start + _CHUNK, len(halves)))
            inherited = np.full(len(part), -np.inf) if bounds is None else bounds[part]
            stack.append((inherited, halves.take(part)))
    return Outcome(float(settled), boxes, done=not stuck)

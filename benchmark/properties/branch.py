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


@dataclass(frozen=True)
class _Part:
    """Boxes that are still to be bounded.

    Attributes:
        boxes: m of them.
        above: (m,) bounds of the boxes that they were cut from.
        lines: (m, ...) of those, to go on from; None at the start.
    """

    boxes: Boxes
    above: np.ndarray
    lines: np.ndarray | None


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
    stack = [_Part(Boxes.whole(domain), np.array([-np.inf]), None)]
    settled, boxes, stuck, tried = np.inf, 0, False, 0
    while stack:
        if boxes >= budget:
            margin = min(settled, *(float(part.above.min()) for part in stack))
            return Outcome(margin, boxes, done=False)
        part = stack.pop()
        found = slope_bounds(net, part.boxes, place, sign, part.lines)
        values = np.maximum(found.values, part.above)
        boxes += len(part.boxes)
        bad = np.flatnonzero(values < -tolerance)
        settled = min(settled, *np.delete(values, bad), np.inf)
        if len(bad) == 0:
            continue
        slopes = sign * net.slopes(found.where[bad], place)
        worst = int(slopes.argmin())
        if slopes[worst] < -tolerance:
            tried, pair = tried + 1, show(found.where[bad[worst]])
            if pair is not None or tried == _TRIES:
                pending = [float(one.above.min()) for one in stack]
                return Outcome(min(settled, *values[bad], *pending), boxes, False, pair)
        halves, of = part.boxes.take(bad).halves(found.score[bad])
        if len(halves) < 2 * len(bad):  # a point that cannot be cut: nothing is proved of it
            stuck, settled = True, min(settled, float(values[bad].min()))
        for start in range(0, len(halves), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            whole = bad[of[chunk]]
            stack.append(_Part(halves.take(chunk), values[whole], found.lines[whole]))
    return Outcome(float(settled), boxes, done=not stuck)

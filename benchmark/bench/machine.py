"""What the machine can do at best: the limits that achieved speeds are held against."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from benchmark.bench.clock import CLOCK
from benchmark.bench.measure import finish
from benchmark.curvature.linear_map import linear

#: Side of the square matrices that are multiplied: large enough that the product is at its best.
SIDE = {"cpu": 1024, "cuda": 8192}
#: Numbers that are copied, well beyond any cache.
LENGTH = {"cpu": 1 << 24, "cuda": 1 << 28}
#: The best of so many.
REPEATS = 5


@cache
def limits(dtype: torch.dtype, device: torch.device) -> tuple[float, float]:
    """Floating-point operations a second of a matrix product, and bytes a second of a copy.

    The product is by whichever of torch's kernels is the faster one, the products' own included.
    """
    side, length = SIDE[device.type], LENGTH[device.type]
    a = torch.ones(side, side, dtype=dtype, device=device)
    out = torch.empty_like(a)
    source = torch.ones(length, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    product = min(
        _best(lambda: torch.mm(a, a, out=out), device), _best(lambda: linear(a, a), device)
    )
    copy = _best(lambda: target.copy_(source), device)
    return 2 * side**3 / product, 2 * source.nbytes / copy


def _best(work: Callable[[], object], device: torch.device) -> float:
    found = []
    for _ in range(REPEATS + 1):  # the first warms up
        start = CLOCK()
        work()
        finish(device)
        found.append(CLOCK() - start)
    return min(found[1:])

"""Stochastic passes over cached chunks, accelerated, with conjugate gradients behind them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped, Operator
from benchmark.curvature.lanczos import lanczos
from benchmark.curvature.solution import Solution, measured
from benchmark.curvature.system import System
from benchmark.problem.rows import Rows

#: Chunks the rows are cut into, fewer where a chunk would be too small to run at speed; with
#: less than FEWEST a pass is too short to help, and conjugate gradients do it all.
CHUNKS, FEWEST = 100, 10
#: Share of the chunks that a pass takes at first. One that leaves more than SLOW of the residual
#: makes the next ones twice as long; where even a whole one leaves more than STUCK, conjugate
#: gradients take over.
SHARE, SLOW, STUCK = 0.4, 0.4, 0.8
#: Chunks that the step size is measured on, Lanczos steps on each, and the margin for the others.
PROBES, PROBE_STEPS, MARGIN = 2, 5, 1.2


class _Chunks:
    """The damped Hessian as the mean of those of chunks; every k-th row is in the same one.

    Striding needs no copy of the rows, and mixes them where they are sorted by label.
    """

    def __init__(self, system: System, count: int) -> None:
        n, rows = len(system.rows), system.rows
        self.parts: list[Damped] = []
        self.shares: list[float] = []
        for i in range(count):
            part = Rows(rows.x[i::count], rows.y[i::count])
            self.parts.append(system.part(part))
            self.shares.append(len(part) / n)

    def __matmul__(self, vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for part, share in zip(self.parts, self.shares, strict=True):
            total.add_(part @ vector, alpha=share)
        return total


class _Residuals:
    """The least ||b - A x|| over all x in the span of the directions so far.

    Generalised conjugate residuals (Eisenstat, Elman & Schultz 1983): each direction d comes with
    its product A d, and both are combined so that the products are orthonormal. The residual is
    that of x up to round-off, as it is b less multiples of products that were computed.
    """

    def __init__(self, operator: Operator, b: Tensor) -> None:
        self._operator = operator
        self._kept: list[tuple[Tensor, Tensor]] = []
        self.x, self.r = torch.zeros_like(b), b

    def add(self, d: Tensor) -> None:
        """Add the direction `d` (d,), at the cost of one product."""
        q = self._operator @ d
        for other, image in self._kept:
            share = image.dot(q)
            d, q = d - share * other, q - share * image
        size = q.norm()
        if size > 0:
            d, q = d / size, q / size
            length = self.r.dot(q)
            self._kept.append((d, q))
            self.x, self.r = self.x + length * d, self.r - length * q


def svrg(
    system: System,
    *,
    tolerance: float,
    max_products: int,
    generator: torch.Generator,
    smallest: int,
) -> Solution:
    """Solve by stochastic steps whose variance vanishes with the residual (Johnson & Zhang 2013).

    Each pass makes steps z <- z - s (A_i z - r) towards A z = r, r the residual of x, over some of
    the chunks i in random order, and takes the mean of the later half of them. As A_i z is small
    when r is, so is the noise. The mean is a direction, and x is the best in the span of all
    directions so far: the pass is a preconditioner that may change from one product to the next.
    Passes that do not shrink the residual hand over to conjugate gradients, which also tell an
    indefinite system.

    Args:
        system: its rows are used in chunks, whose forward and backward passes are kept.
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        generator: orders the chunks.
        smallest: rows a chunk at least.
    """
    b = system.b
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    count = max(1, min(CHUNKS, len(system.rows) // smallest))
    if size <= goal:
        return measured(system.operator, b, torch.zeros_like(b), goal=goal, products=0)
    chunks = _Chunks(system, count)
    least = _Residuals(chunks, b)
    products = PROBE_STEPS * sum(chunks.shares[:PROBES])
    share, history = SHARE, []
    stochastic = count >= FEWEST and products + share + 1 <= max_products
    if stochastic:
        order = _shuffled(count, generator)
        step = 1 / (MARGIN * max(_top(part, b) for part in chunks.parts[:PROBES]))
    else:
        products = 0.0
    while stochastic and size > goal:
        length = round(share * count)
        least.add(_pass(chunks, least.r, step, [next(order) for _ in range(length)]))
        before, size = size, float(least.r.norm())
        products += length / count + 1
        history.append((products, size / norm))
        # what is not a number is stuck as well
        stochastic = (share < 1 or size < STUCK * before) and products + share + 1 <= max_products
        share = min(1.0, 2 * share) if size > SLOW * before else share
    budget = int(max_products - products)
    if size <= goal or budget < 1:
        return Solution(least.x, size, products, size <= goal, None, tuple(history))
    rest = conjugate_gradients(chunks, least.r, tolerance=goal / size, max_products=budget)
    history += [(products + p, relative * size / norm) for p, relative in rest.history]
    return measured(
        chunks,
        b,
        least.x + rest.x,
        goal=goal,
        products=products + rest.products - 1,
        curvature=rest.curvature,
        history=tuple(history),
    )


def _top(part: Damped, b: Tensor) -> float:
    """The largest size of an eigenvalue that a few Lanczos steps find."""
    return float(torch.linalg.eigvalsh(lanczos(part, b, PROBE_STEPS).projected).abs().max())


def _shuffled(count: int, generator: torch.Generator) -> Iterator[int]:
    """All numbers below `count` in random order, and again in another, without end."""
    while True:
        yield from torch.randperm(count, generator=generator).tolist()


def _pass(chunks: _Chunks, r: Tensor, step: float, order: list[int]) -> Tensor:
    """The mean of the later half of the steps towards A z = r, (d,)."""
    z, mean, first = torch.zeros_like(r), torch.zeros_like(r), len(order) // 2
    for k, i in enumerate(order):
        z = z + step * (r - chunks.parts[i] @ z)
        if k >= first:
            mean.add_(z, alpha=1 / (len(order) - first))
    return mean

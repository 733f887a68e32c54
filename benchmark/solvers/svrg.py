"""Stochastic passes over rows that matter, accelerated, with conjugate gradients behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmark.curvature.hessian import Damped, Operator
from benchmark.curvature.krylov import Solution, conjugate_gradients, lanczos, measured
from benchmark.solvers.solver import System


def effective_number(importance: Tensor) -> float:
    """Kish's effective sample size of weights (n,): n if all are equal, 1 if one has it all."""
    total = importance.double()
    return float(total.sum().square() / total.square().sum())


def inclusion(importance: Tensor, size: int) -> Tensor:
    """Probabilities (n,) in float64, at most 1, that sum to `size` and follow `importance`.

    They are proportional to it but for rows that would get more than 1, which are certain.

    Args:
        importance: (n,) positive.
        size: from 1 to n.
    """
    weight = importance.double()
    certain = torch.zeros_like(weight, dtype=torch.bool)
    while True:
        left = size - int(certain.sum())
        probability = torch.where(certain, 1.0, weight * (left / weight[~certain].sum()))
        over = probability > 1
        if left == 0 or not over.any():
            return probability.clamp_(max=1)
        certain |= over


def systematic_sample(probability: Tensor, generator: torch.Generator) -> Tensor:
    """Indices of rows, each with its `probability` (n,) and at most once, in random order.

    Systematic sampling (Madow 1949): marks one apart, the first of them drawn, on the line along
    which the rows lie with their probabilities as lengths. So many rows are drawn as the
    probabilities sum to, give or take one.

    Args:
        probability: (n,) in float64.
        generator: on the CPU; draws one number and the order.
    """
    start = torch.rand((), generator=generator, dtype=torch.float64).to(probability.device)
    marks = (probability.cumsum(dim=0) + start).floor()
    drawn = marks.diff(prepend=marks.new_zeros(1)).nonzero()[:, 0]
    order = torch.randperm(len(drawn), generator=generator)
    return drawn[order.to(drawn.device)]


# Stochastic passes over rows that matter, accelerated, with conjugate gradients behind them.

#: Rows of a sample, as a share of how many there are in effect, and of all rows at most.
SHARE, MOST = 0.5, 0.5
#: Added to every row's importance, as a share of its mean, so that none counts for very many.
EVERY_ROW = 0.05
#: Steps of a pass at first, as far as they fit into the share PASS of a product with all rows. One
#: that leaves more than SLOW of the residual makes sample and passes twice as large; where even
#: passes as long as a product leave more than STUCK, conjugate gradients take over.
STEPS, PASS, SLOW, STUCK = 40, 0.4, 0.4, 0.8
#: With fewer parts than this in all rows, passes are too short, and conjugate gradients do it all.
FEWEST = 10
#: Parts that the step size is measured on, Lanczos steps on each, and the margin for the others.
PROBES, PROBE_STEPS, MARGIN = 2, 5, 1.2


class _Sample:
    """The damped Hessian as the mean of those of parts, over rows drawn by their importance.

    Each part is an unbiased estimate: a row counts the less, the likelier it was to be drawn. A
    part is built when it is first used.

    Args:
        system: its rows are drawn.
        size: rows to draw; all of them at most.
        smallest: rows a part at least.
        generator: draws them.
    """

    def __init__(
        self, system: System, size: int, smallest: int, generator: torch.Generator
    ) -> None:
        importance, n = system.importance, len(system.rows)
        self._system, self._generator = system, generator
        weights = torch.ones(n) if importance is None else importance
        probability = inclusion(weights + EVERY_ROW * weights.mean(), size)
        self._index = systematic_sample(probability, generator)
        shares = 1 / (n * probability[self._index]).to(system.b.dtype)
        self._shares = None if importance is None else shares
        self.count = max(1, min(STEPS, len(self._index) // smallest))
        #: Of all rows, in one part.
        self.share = len(self._index) / n / self.count
        #: Steps that cost a product with all rows.
        self.longest = max(1, int(1 / self.share))
        self._parts: dict[int, Damped] = {}
        self._order = self._shuffled()

    def part(self, i: int) -> Damped:
        """The `i`-th of `count`."""
        if i not in self._parts:
            rows = self._system.rows.take(self._index[i :: self.count])
            own = None if self._shares is None else self._shares[i :: self.count] * self.count
            self._parts[i] = self._system.part(rows, own)
        return self._parts[i]

    def next(self, count: int) -> list[Damped]:
        """So many parts: all in random order, then again in another, going on where it stopped."""
        return [self.part(next(self._order)) for _ in range(count)]

    def _shuffled(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.count, generator=self._generator).tolist()

    def top(self) -> float:
        """The largest size of an eigenvalue that a few Lanczos steps find on some parts."""
        found = 0.0
        for i in range(min(PROBES, self.count)):
            projected = lanczos(self.part(i), self._system.b, PROBE_STEPS).projected
            found = max(found, float(torch.linalg.eigvalsh(projected).abs().max()))
        return found


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

    Each pass makes steps z <- z - s (A_i z - r) towards A z = r, r the residual of x and A_i over
    few rows, and takes the mean of the later half of them. As A_i z is small when r is, so is the
    noise. The mean is a direction, and x is the best in the span of all directions so far: the
    pass is a preconditioner that may change from one product to the next. Rows are drawn by how
    much they have to do with the Hessian, since of a trained net's rows few have most of it
    (importance sampling, Needell, Srebro & Ward 2016). Passes that do not shrink the residual hand
    over to conjugate gradients, which also tell an indefinite system.

    Args:
        system: its operator is built, and the parts that are drawn.
        tolerance: relative to ||b||.
        max_products: budget of operator products.
        generator: draws rows and their order.
        smallest: rows a part at least.
    """
    b = system.b
    norm = float(b.norm())
    goal = tolerance * norm
    if norm <= goal:
        return measured(system.operator, b, torch.zeros_like(b), goal=goal, products=0)
    least = _Residuals(system.operator, b)
    products, history = 0.0, list[Any]()
    if len(system.rows) >= FEWEST * smallest and max_products >= 2:
        products, history = _by_passes(system, least, goal, max_products, generator, smallest)
    size = float(least.r.norm())
    budget = int(max_products - products)
    if size <= goal or budget < 1:
        return Solution(least.x, size, products, size <= goal, None, tuple(history))
    rest = conjugate_gradients(system.operator, least.r, tolerance=goal / size, max_products=budget)
    history += [(products + p, relative * size / norm) for p, relative in rest.history]
    return measured(
        system.operator,
        b,
        least.x + rest.x,
        goal=goal,
        products=products + rest.products - 1,
        curvature=rest.curvature,
        history=tuple(history),
    )


def _by_passes(
    system: System,
    least: _Residuals,
    goal: float,
    max_products: int,
    generator: torch.Generator,
    smallest: int,
) -> tuple[float, list[tuple[float, float]]]:
    """Add directions to `least` until its residual is `goal`, or passes no longer shrink it.

    Returns:
        the products spent, and (products, residual relative to ||b||) after each pass.
    """
    n, norm, importance = len(system.rows), float(system.b.norm()), system.importance
    effective = n if importance is None else effective_number(importance)
    most = int(MOST * n)
    drawn = max(1, min(round(SHARE * effective), most))
    sample = _Sample(system, drawn, smallest, generator)
    steps = min(STEPS, max(1, int(PASS * sample.longest)))
    step = 1 / (MARGIN * sample.top())
    products, size = PROBE_STEPS * min(PROBES, sample.count) * sample.share, norm
    history: list[tuple[float, float]] = []
    while size > goal and products + steps * sample.share + 1 <= max_products:
        least.add(_pass(sample.next(steps), least.r, step))
        before, size = size, float(least.r.norm())
        products += steps * sample.share + 1
        history.append((products, size / norm))
        if size <= SLOW * before:
            continue
        # what is not a number is stuck as well
        if steps >= sample.longest and not size < STUCK * before:
            break
        if drawn < most:
            drawn = min(2 * drawn, most)
            sample = _Sample(system, drawn, smallest, generator)
        steps = min(2 * steps, sample.longest)
    return products, history


def _pass(parts: list[Damped], r: Tensor, step: float) -> Tensor:
    """The mean of the later half of the steps towards A z = r, one a part, (d,)."""
    z, mean, first = torch.zeros_like(r), torch.zeros_like(r), len(parts) // 2
    for k, part in enumerate(parts):
        z.sub_(part @ z, alpha=step).add_(r, alpha=step)
        if k >= first:
            mean.add_(z, alpha=1 / (len(parts) - first))
    return mean

"""Variance-reduced stochastic iteration over cached chunks, with conjugate gradients behind it."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.hessian import Damped
from benchmark.curvature.lanczos import lanczos
from benchmark.curvature.solution import Solution, measured
from benchmark.curvature.system import System
from benchmark.problem.rows import Rows

#: Chunks the rows are cut into, fewer where a chunk would have less than SMALLEST rows; with
#: less than FEWEST a pass is too short to help, and conjugate gradients do it all.
CHUNKS, SMALLEST, FEWEST = 100, 64, 10
#: A pass and the product after it must shrink the residual to this share; conjugate gradients
#: do better than that on all but ill-conditioned systems.
CONTRACTION = 0.5
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


def svrg(
    system: System, *, tolerance: float, max_products: int, generator: torch.Generator
) -> Solution:
    """Solve by stochastic steps whose variance vanishes with the residual (Johnson & Zhang 2013).

    Each pass solves A z = r, r the residual of x, by steps z <- z - s (A_i z - r) over all chunks
    i in random order, and adds to x the mean of the later half of them; then one product gives
    the new r. As A_i z is small when r is, so is the noise. A pass that does not halve the
    residual hands over to conjugate gradients, which also tell an indefinite system.

    Args:
        system: its rows are used in chunks, whose forward and backward passes are kept.
        tolerance: relative to ||b||.
        max_products: budget of operator products; the last one for the residual is not in it.
        generator: orders the chunks.
    """
    b = system.b
    norm = float(b.norm())
    goal, size = tolerance * norm, norm
    count = max(1, min(CHUNKS, len(system.rows) // SMALLEST))
    if size <= goal:
        return measured(system.operator, b, torch.zeros_like(b), goal=goal, products=0)
    chunks = _Chunks(system, count)
    x, r, products = torch.zeros_like(b), b, 0.0
    history: list[tuple[float, float]] = []
    probing = PROBE_STEPS * sum(chunks.shares[:PROBES])
    stochastic = count >= FEWEST and probing + 1 <= max_products
    if stochastic:
        step = 1 / (MARGIN * max(_top(part, b) for part in chunks.parts[:PROBES]))
        products += probing
    while stochastic and size > goal and products + 1 <= max_products:
        candidate = x + _pass(chunks, r, step, generator)
        r_new = b - chunks @ candidate
        products += 2
        before, after = size, float(r_new.norm())
        if after < before:
            x, r, size = candidate, r_new, after
            history.append((products, size / norm))
        stochastic = after <= CONTRACTION * before
    budget = int(max_products - products)
    if size <= goal or budget < 1:
        return Solution(x, size, products, size <= goal, None, tuple(history))
    rest = conjugate_gradients(chunks, r, tolerance=goal / size, max_products=budget)
    history += [(products + p, relative * size / norm) for p, relative in rest.history]
    return measured(
        chunks,
        b,
        x + rest.x,
        goal=goal,
        products=products + rest.products - 1,
        curvature=rest.curvature,
        history=tuple(history),
    )


def _top(part: Damped, b: Tensor) -> float:
    """The largest size of an eigenvalue that a few Lanczos steps find."""
    return float(torch.linalg.eigvalsh(lanczos(part, b, PROBE_STEPS).projected).abs().max())


def _pass(chunks: _Chunks, r: Tensor, step: float, generator: torch.Generator) -> Tensor:
    """The mean of the later half of the steps towards A z = r, (d,)."""
    order = torch.randperm(len(chunks.parts), generator=generator).tolist()
    z, mean, first = torch.zeros_like(r), torch.zeros_like(r), len(order) // 2
    for k, i in enumerate(order):
        z = z + step * (r - chunks.parts[i] @ z)
        if k >= first:
            mean.add_(z, alpha=1 / (len(order) - first))
    return mean

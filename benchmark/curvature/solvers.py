"""Every solver behind one interface, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmark.curvature.cg import conjugate_gradients
from benchmark.curvature.chebyshev import chebyshev
from benchmark.curvature.dense import cholesky
from benchmark.curvature.lissa import largest_minibatch_curvature, lissa
from benchmark.curvature.minres import minres
from benchmark.curvature.nystroem import nystroem
from benchmark.curvature.solution import Solution, measured
from benchmark.curvature.svrg import svrg
from benchmark.curvature.system import System

#: (system, tolerance relative to ||b||, budget of products, generator) -> solution. A generator
#: is read by randomised solvers alone.
Solve = Callable[[System, float, int, torch.Generator], Solution]

#: (system, budget of products) -> a piece of a solve, and how many of them make up the whole.
Pieces = Callable[[System, int], tuple[Callable[[], object], float]]

#: Columns of the Nystroem sketch, each a product.
RANK = 20
#: The paper's LiSSA: chains, steps and rows of a minibatch.
CHAINS, DEPTH, BATCH = 10, 1000, 10
#: LiSSA's scale is this margin over the largest curvature of some trial minibatches, found by
#: power iteration; the paper gives no rule.
SCALE_MARGIN, SCALE_TRIALS, SCALE_STEPS = 1.5, 50, 10
#: Rows that the scale and that one step of all chains multiply.
_SCALE_ROWS, _STEP_ROWS = SCALE_TRIALS * SCALE_STEPS * BATCH, CHAINS * BATCH


@dataclass(frozen=True)
class Solver:
    """A way to solve a system.

    Attributes:
        name: identifier.
        title: for tables and plots.
        source: the paper it comes from.
        run: see `Solve`; for finite weights and b.
        pieces: where the work does not depend on the tolerance, what it consists of, which tells
            its time beforehand; None for a solver that ends once the residual is small enough.
    """

    name: str
    title: str
    source: str
    run: Solve
    pieces: Pieces | None = None

    def solve(
        self, system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        """See `Solve`; it never raises for what the system is, it reports it.

        Weights or a b that are not finite, as a training that diverged leaves them, have no
        solution: x is zero and the residual infinite.
        """
        if bool(system.b.isfinite().all() & system.weights.isfinite().all()):
            return self.run(system, tolerance, budget, generator)
        return Solution(torch.zeros_like(system.b), math.inf, 0, False, None)


def _cg(system: System, tolerance: float, budget: int, generator: torch.Generator) -> Solution:
    return conjugate_gradients(system.operator, system.b, tolerance=tolerance, max_products=budget)


def _minres(system: System, tolerance: float, budget: int, generator: torch.Generator) -> Solution:
    return minres(system.operator, system.b, tolerance=tolerance, max_products=budget)


def _nystroem(
    system: System, tolerance: float, budget: int, generator: torch.Generator
) -> Solution:
    """Conjugate gradients, preconditioned; the sketch is part of the budget."""
    rank = min(RANK, budget)
    if not rank or not system.b.any():
        return _cg(system, tolerance, budget, generator)
    low_rank = nystroem(system.operator.operator, system.b, rank, generator)
    smallest = low_rank.smallest_ritz + system.damping
    if smallest <= 0:
        goal = tolerance * float(system.b.norm())
        zero = torch.zeros_like(system.b)
        return measured(
            system.operator, system.b, zero, goal=goal, products=rank, curvature=smallest
        )
    solution = conjugate_gradients(
        system.operator,
        system.b,
        tolerance=tolerance,
        max_products=budget - rank,
        preconditioner=low_rank.preconditioner(system.damping),
    )
    return solution.after(rank)


def _svrg(system: System, tolerance: float, budget: int, generator: torch.Generator) -> Solution:
    return svrg(
        system,
        tolerance=tolerance,
        max_products=budget,
        generator=generator,
        smallest=system.problem.model.smallest_chunk,
    )


def _chebyshev(
    system: System, tolerance: float, budget: int, generator: torch.Generator
) -> Solution:
    return chebyshev(system.operator, system.b, tolerance=tolerance, max_products=budget)


def _cholesky(
    system: System, tolerance: float, budget: int, generator: torch.Generator
) -> Solution:
    return cholesky(system.operator, system.b, tolerance=tolerance, max_products=budget)


def _lissa_depth(budget: int, rows: int) -> int:
    """Steps of LiSSA that a budget of products over so many rows allows; below 1 if none."""
    return min(DEPTH, int((budget * rows - _SCALE_ROWS) / _STEP_ROWS))


def _lissa(averaged: float) -> Solve:
    """LiSSA whose answer is the mean over this share of its last steps; 0 is the published one."""

    def solve(
        system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        # The ridge is a multiple of the identity as well, and takes half the time as one.
        n, hessians = len(system.rows), system.problem.minibatch_hessians(system.weights)
        damping = system.damping + system.problem.objective.ridge
        goal = tolerance * float(system.b.norm())
        probing, depth = _SCALE_ROWS / n, _lissa_depth(budget, n)
        if depth < 1 or not system.b.any():
            zero = torch.zeros_like(system.b)
            return measured(system.operator, system.b, zero, goal=goal, products=0)
        largest = largest_minibatch_curvature(
            hessians,
            system.rows,
            len(system.b),
            generator,
            batch=BATCH,
            trials=SCALE_TRIALS,
            steps=SCALE_STEPS,
        )
        x = lissa(
            hessians,
            system.rows,
            system.b,
            generator,
            damping=damping,
            scale=SCALE_MARGIN * (largest + damping),
            chains=CHAINS,
            depth=depth,
            batch=BATCH,
            averaged=max(1, round(averaged * depth)),
        )
        products = probing + depth * _STEP_ROWS / n
        return measured(system.operator, system.b, x, goal=goal, products=products)

    return solve


def _lissa_pieces(system: System, budget: int) -> tuple[Callable[[], object], float]:
    """The product of one step of all chains, and how many a solve takes, its scale included."""
    products, n = system.problem.minibatch_hessians(system.weights), len(system.rows)
    few = system.rows.take(torch.arange(_STEP_ROWS) % n)
    x, y = few.x.unflatten(0, (CHAINS, BATCH)), few.y.view(CHAINS, BATCH)
    u = system.b.expand(CHAINS, -1).contiguous()
    steps = _SCALE_ROWS / _STEP_ROWS + _lissa_depth(budget, n)
    return lambda: products(x, y, u), steps


SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        Solver("cg", "Conjugate gradients", "Hestenes & Stiefel 1952", _cg),
        Solver("minres", "Minimal residual", "Paige & Saunders 1975", _minres),
        Solver(
            "cg-nystroem", "CG, Nyström preconditioner", "Frangella, Tropp & Udell 2023", _nystroem
        ),
        Solver("svrg", "SVRG, accelerated", "Johnson & Zhang 2013", _svrg),
        Solver("chebyshev", "Chebyshev, Lanczos bounds", "Saad 2003", _chebyshev),
        Solver("cholesky", "Dense Cholesky", "Golub & Van Loan 2013", _cholesky),
        Solver(
            "lissa",
            "LiSSA, as published",
            "Agarwal, Bullins & Hazan 2017",
            _lissa(0),
            _lissa_pieces,
        ),
        Solver(
            "lissa-averaged",
            "LiSSA, tail averaged",
            "Polyak & Juditsky 1992",
            _lissa(0.5),
            _lissa_pieces,
        ),
    )
}

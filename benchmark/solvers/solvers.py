"""The project's solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from benchmark.curvature.factor import cholesky, nystroem
from benchmark.curvature.krylov import Solution, chebyshev, conjugate_gradients, measured, minres
from benchmark.curvature.lissa import largest_minibatch_curvature, lissa
from benchmark.solvers.solver import Solver, System
from benchmark.solvers.svrg import svrg

#: Columns of the Nystroem sketch, each a product.
RANK = 20
#: The paper's LiSSA: chains, steps and rows of a minibatch.
CHAINS, DEPTH, BATCH = 10, 1000, 10
#: LiSSA's scale is this margin over the largest curvature of some trial minibatches, found by
#: power iteration; the paper gives no rule.
SCALE_MARGIN, SCALE_TRIALS, SCALE_STEPS = 1.5, 50, 10
#: Rows that the scale and that one step of all chains multiply.
_SCALE_ROWS, _STEP_ROWS = SCALE_TRIALS * SCALE_STEPS * BATCH, CHAINS * BATCH


def _of_operator(solve: Callable[..., Solution]) -> Any:
    """`run` of a solver that takes nothing but the operator and b."""

    def run(system: System, tolerance: float, budget: int, generator: torch.Generator) -> Solution:
        return solve(system.operator, system.b, tolerance=tolerance, max_products=budget)

    return staticmethod(run)


def _nystroem(
    system: System, tolerance: float, budget: int, generator: torch.Generator
) -> Solution:
    """Conjugate gradients, preconditioned; the sketch is part of the budget."""
    rank = min(RANK, budget)
    if not rank or not system.b.any():
        return ConjugateGradients.run(system, tolerance, budget, generator)
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


def _lissa_depth(budget: int, rows: int) -> int:
    """Steps of LiSSA that a budget of products over so many rows allows; below 1 if none."""
    return min(DEPTH, int((budget * rows - _SCALE_ROWS) / _STEP_ROWS))


def _lissa_pieces(system: System, budget: int) -> tuple[Callable[[], object], float]:
    """The product of one step of all chains, and how many a solve takes, its scale included."""
    products, n = system.problem.minibatch_hessians(system.weights), len(system.rows)
    few = system.rows.take(torch.arange(_STEP_ROWS) % n)
    x, y = few.x.unflatten(0, (CHAINS, BATCH)), few.y.view(CHAINS, BATCH)
    u = system.b.expand(CHAINS, -1).contiguous()
    steps = _SCALE_ROWS / _STEP_ROWS + _lissa_depth(budget, n)
    return lambda: products(x, y, u), steps


class ConjugateGradients(Solver):
    """Conjugate gradients."""

    name = "cg"
    title = "Conjugate gradients"
    source = "Hestenes & Stiefel 1952"
    place = 0
    run = _of_operator(conjugate_gradients)


class MinimalResidual(Solver):
    """Minimal residual."""

    name = "minres"
    title = "Minimal residual"
    source = "Paige & Saunders 1975"
    place = 1
    run = _of_operator(minres)


class Nystroem(Solver):
    """CG, Nyström preconditioner."""

    name = "cg-nystroem"
    title = "CG, Nyström preconditioner"
    source = "Frangella, Tropp & Udell 2023"
    place = 2
    run = staticmethod(_nystroem)


class AcceleratedSVRG(Solver):
    """SVRG, accelerated."""

    name = "svrg"
    title = "SVRG, accelerated"
    source = "Johnson & Zhang 2013"
    place = 3
    run = staticmethod(_svrg)


class Chebyshev(Solver):
    """Chebyshev, Lanczos bounds."""

    name = "chebyshev"
    title = "Chebyshev, Lanczos bounds"
    source = "Saad 2003"
    place = 4
    run = _of_operator(chebyshev)


class DenseCholesky(Solver):
    """Dense Cholesky."""

    name = "cholesky"
    title = "Dense Cholesky"
    source = "Golub & Van Loan 2013"
    place = 5
    run = _of_operator(cholesky)


class PublishedLiSSA(Solver):
    """LiSSA, as published."""

    name = "lissa"
    title = "LiSSA, as published"
    source = "Agarwal, Bullins & Hazan 2017"
    place = 6
    pieces = staticmethod(_lissa_pieces)  # type: ignore[assignment]  # asked of the class alone
    #: The answer is the mean over this share of the last steps.
    averaged: ClassVar[float] = 0

    @classmethod
    def run(
        cls, system: System, tolerance: float, budget: int, generator: torch.Generator
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
            averaged=max(1, round(cls.averaged * depth)),
        )
        products = probing + depth * _STEP_ROWS / n
        return measured(system.operator, system.b, x, goal=goal, products=products)


class AveragedLiSSA(PublishedLiSSA):
    """LiSSA, tail averaged."""

    name = "lissa-averaged"
    title = "LiSSA, tail averaged"
    source = "Polyak & Juditsky 1992"
    place = 7
    averaged = 0.5

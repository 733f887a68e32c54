"""Descent-to-Delete: what K steps on the retained rows promise (Neel et al. 2021)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.claims.bounds import Bound, constant, of_head, tolerance
from benchmark.claims.rows import rows_constant
from benchmark.claims.spectra import head_constants
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.theory.constants import a_priori_distance
from benchmark.theory.contraction import contraction


@dataclass(frozen=True)
class Promise:
    """What holds of every request in a stream, known before any of them.

    Before a request the weights are within `error` of the minimiser on their own rows, and after
    it again.

    Attributes:
        bound: Delta, on the distance to the retrained weights.
        idle: the same bound without a step.
        error: e.
        step_size: eta.
        contraction: c of a step.
    """

    bound: Bound
    idle: float
    error: float
    step_size: float
    contraction: float

    def steps(self, moved: float, steps: int) -> int:
        """K, or more where a request may move the minimiser by more than it is made for.

        Args:
            moved: how far at most.
            steps: K.
        """
        if self.error + moved == 0 or self.contraction == 0:
            return steps
        needed = math.log(self.error / (self.error + moved)) / math.log(self.contraction)
        return max(steps, math.ceil(needed * (1 - 1e-9)))


def descent_promise(
    problem: Problem, *, left: int, capacity: int, step_size: float | None, steps: int
) -> Promise:
    """Delta = e + G / mu with e = max(G / mu, c^K s / (1 - c^K)), s how far the minimiser moves.

    Args:
        problem: strongly convex, trained to a tolerance.
        left: rows that the request leaves; the declared number takes its place where there is one.
        capacity: n_u of a request that K steps are made for.
        step_size: eta; by default 2 / (L + mu), the longest that contracts.
        steps: K.

    Raises:
        AssumptionBroken: if one row's gradient has no bound, or the step is too long to contract.
    """
    (mu, held), head = tolerance(problem), head_constants(problem)
    if head.sample_gradient is None:
        raise AssumptionBroken(
            "Descent-to-Delete needs bounded gradients of single rows: loss = cross_entropy"
        )
    eta = step_size or 2 / (head.gradient_lipschitz + mu)
    c = contraction(step_size=eta, strong_convexity=mu, gradient_lipschitz=head.gradient_lipschitz)
    rows = problem.rows_at_least(left)
    moved = moved_minimiser(problem, rows, capacity)
    shrunk = c**steps
    error = max(held / mu, shrunk * moved / (1 - shrunk) if shrunk < 1 else math.inf)
    rests_on = (
        *of_head(problem, "gradient_lipschitz", "sample_gradient", "strong_convexity"),
        constant("training_gradient", held),
        rows_constant(problem, rows),
        constant("capacity", capacity),
        constant("unlearning_steps", steps),
    )
    bound = Bound("descent", error + held / mu, rests_on)
    return Promise(bound, moved + 2 * held / mu, error, eta, c)


def moved_minimiser(problem: Problem, rows: int, forgotten: int) -> float:
    """How far a request for so many rows moves the minimiser at most: 2 n_u g / (mu n).

    Args:
        problem: with bounded gradients of single rows.
        rows: n, that are left at least. The bound for all rows is no larger.
        forgotten: n_u.
    """
    head = head_constants(problem)
    return a_priori_distance(
        trained=rows + forgotten,
        forgotten=forgotten,
        sample_gradient=head.sample_gradient,
        strong_convexity=head.strong_convexity,
    )

"""The published bound of Sekhari et al.'s step, for comparison."""

from __future__ import annotations

from benchmark.claims.bounds import Bound, constant, of_head
from benchmark.claims.spectra import head_constants
from benchmark.problem.problem import Problem
from benchmark.theory.sekhari import sekhari_bound


def published_bounds(
    problem: Problem, trained: int, forgotten: int, residual: float
) -> list[Bound]:
    """The bound with the constants of a linear model; none where a row's gradient has no bound.

    Nor is there one where training is held to a ball: it takes the gradient to vanish.

    Args:
        problem: with the linear model, trained to a tolerance.
        trained: n.
        forgotten: n_u, lost and altered; with as many as n, or more, there is no bound.
        residual: ||r||, measured.
    """
    head, held = head_constants(problem), problem.training.gradient_bound
    if head.sample_gradient is None or problem.training.radius is not None or forgotten >= trained:
        return []
    value = sekhari_bound(
        trained=trained,
        forgotten=forgotten,
        sample_gradient=head.sample_gradient,
        strong_convexity=head.strong_convexity,
        hessian_lipschitz=head.hessian_lipschitz,
        training_gradient=held,
        solve_residual=residual,
    )
    rests_on = (
        constant("rows", trained, "measured"),
        *of_head(problem, "sample_gradient", "strong_convexity", "hessian_lipschitz"),
        constant("training_gradient", held),
        constant("residual", residual, "measured"),
    )
    return [Bound("sekhari21", value, rests_on)]

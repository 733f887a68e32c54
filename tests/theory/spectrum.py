"""A bound on the smallest eigenvalue where the largest is known by proof."""

from __future__ import annotations

from benchmark.errors import AssumptionBroken
from benchmark.theory import require
from benchmark.theory.spectrum import relative_error


def smallest_eigenvalue_bound(
    *,
    smallest_ritz: float,
    largest_eigenvalue: float,
    steps: int,
    dimension: int,
    failure_probability: float,
) -> float:
    """A lower bound on lambda_min(H), except with probability rho, from a known upper end.

    Applied to c I - H, which is positive semidefinite and has the same Krylov spaces:
    lambda_min >= c - (c - ritz_min) / (1 - error).

    Args:
        smallest_ritz: from Lanczos with a random start, full reorthogonalisation.
        largest_eigenvalue: c >= lambda_max(H) by proof; a Ritz value or a power iteration errs
            on the wrong side, use `spectrum_bounds` where there is nothing better.
        steps: k.
        dimension: d.
        failure_probability: rho.

    Raises:
        AssumptionBroken: if c lies below the Ritz value, a value is not finite, or rho is
            outside (0, 1).
    """
    require.finite(smallest_ritz=smallest_ritz, largest_eigenvalue=largest_eigenvalue)
    if largest_eigenvalue < smallest_ritz:
        raise AssumptionBroken(
            f"{largest_eigenvalue:.3g} bounds no spectrum that holds {smallest_ritz:.3g}"
        )
    error = relative_error(
        steps=steps, dimension=dimension, failure_probability=failure_probability
    )
    return smallest_ritz - error / (1 - error) * (largest_eigenvalue - smallest_ritz)

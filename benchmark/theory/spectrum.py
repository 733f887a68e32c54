"""From Ritz values to bounds on a spectrum, with a failure probability.

Ritz values lie inside the spectrum, so the smallest is an *upper* bound on lambda_min. With a
start drawn uniformly from the sphere the error is bounded whatever the spectrum is, except with
a probability that is chosen here (Kuczynski & Wozniakowski 1992; sharper form and proof in
docs/theory/nets.md).
"""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require


def relative_error(*, steps: int, dimension: int, failure_probability: float) -> float:
    """Relative error of Lanczos on the largest eigenvalue of a positive semidefinite matrix.

    (lambda_max - ritz_max) / lambda_max <= tanh^2(arccosh(sqrt(2 d / pi) / rho) / (2k - 1)),
    except with probability rho. It is never above the published error, which solves
    rho = 1.648 sqrt(d) exp(-sqrt(error) (2k - 1)).

    Args:
        steps: k, products with the matrix, that is the order of the tridiagonal matrix.
        dimension: d, of the space.
        failure_probability: rho.

    Raises:
        AssumptionBroken: if rho is outside (0, 1).
        LetheError: if there are no steps or no dimensions.
    """
    require.probability(failure_probability=failure_probability)
    if steps < 1 or dimension < 1:
        raise LetheError(f"Lanczos needs a step and a dimension, not {steps} and {dimension}")
    odds = math.sqrt(2 * dimension / math.pi) / failure_probability
    return math.tanh(math.acosh(max(1.0, odds)) / (2 * steps - 1)) ** 2


def spectrum_bounds(
    *,
    smallest_ritz: float,
    largest_ritz: float,
    steps: int,
    dimension: int,
    failure_probability: float,
) -> tuple[float, float]:
    """Bounds below lambda_min and above lambda_max, both, except with probability rho.

    Nothing need be known beforehand: each end may miss a share `error` of the true spread, and
    so the true spread is at most 1 / (1 - 2 error) of the one seen.

    Args:
        smallest_ritz: from one Lanczos run with a random start.
        largest_ritz: from the same run.
        steps: k.
        dimension: d.
        failure_probability: rho, half of it for each end.

    Raises:
        AssumptionBroken: if the steps are too few for any bound (error >= 1/2), the Ritz values
            are out of order or not finite, or rho is outside (0, 1).
    """
    require.finite(smallest_ritz=smallest_ritz, largest_ritz=largest_ritz)
    spread = largest_ritz - smallest_ritz
    require.nonnegative(spread=spread)
    error = relative_error(
        steps=steps, dimension=dimension, failure_probability=failure_probability / 2
    )
    if error >= 0.5:
        raise AssumptionBroken(
            f"{steps} Lanczos steps bound nothing: the relative error may be {error:.2f}, and "
            "below 0.5 is needed"
        )
    missed = error / (1 - 2 * error) * spread
    return smallest_ritz - missed, largest_ritz + missed


def kept_spectrum(
    whole: tuple[float, float], forgotten: tuple[float, float], *, trained: int, forgotten_rows: int
) -> tuple[float, float]:
    """Bounds on the spectrum of the retained rows' Hessian, from those of two others (Weyl).

    n_r H(D_r) = n H(D) - n_u H(D_u) at the same weights, because all are means over their rows
    plus the same ridge. So a spectrum that was bounded once, at training time, serves every
    request for the price of one on the few forgotten rows.

    Args:
        whole: bounds below and above the spectrum of H(D).
        forgotten: the same for H(D_u).
        trained: n.
        forgotten_rows: n_u.

    Raises:
        LetheError: if the counts leave no row to keep.
    """
    if not 0 <= forgotten_rows < trained:
        raise LetheError(f"{forgotten_rows} of {trained} rows to forget: at least one must be kept")
    kept = trained - forgotten_rows
    low = (trained * whole[0] - forgotten_rows * forgotten[1]) / kept
    high = (trained * whole[1] - forgotten_rows * forgotten[0]) / kept
    return low, high

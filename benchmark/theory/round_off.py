"""What float64 may lose of kept sums: normal equations, and derivatives of logistic losses.

Proofs are in docs/theory/kept-sums.md. The bounds hold for whatever order sums are taken
in, with or without fused multiplications; no product may be by a fast algorithm such as Strassen's.
"""

from __future__ import annotations

from benchmark.errors import AssumptionBroken
from benchmark.theory import require

#: u of float64.
UNIT = 2.0**-53
#: Units in the last place of 1 that the logistic function, and p (1 - p), may be off by.
_LOGISTIC = 16
#: Covers the rounding of these formulas themselves, and of the norms that they are given.
_EVALUATION = 1 + 2.0**-20


def gamma(roundings: float) -> float:
    """K u / (1 - k u), a bound on the relative error of k roundings one after the other.

    Raises:
        AssumptionBroken: if k is negative, or so large that nothing is known.
    """
    require.nonnegative(roundings=roundings)
    if roundings * UNIT >= 0.5:
        raise AssumptionBroken(f"{roundings:.3g} roundings may lose every digit of float64")
    return roundings * UNIT / (1 - roundings * UNIT)


def lost_in_sums(rows: int) -> float:
    """E, in rows: sums over n of them are off by E R^2 and E R at most, in the Frobenius norm.

    Args:
        rows: n, each of norm R at most, with a label of norm 1.
    """
    return _EVALUATION * gamma(rows) * rows


def lost_after_downdate(lost: float, rows: int, forgotten: int, *, waiting: int = 0) -> float:
    """E of sums over n - k rows that k were subtracted from.

    Args:
        lost: E of the sums over n rows.
        rows: n.
        forgotten: k.
        waiting: p rows that left before and will be subtracted together with them.
    """
    return lost + _EVALUATION * gamma(forgotten + 1) * (rows + 3 * waiting + forgotten + lost)


def lost_to_waiting(*, columns: int, waiting: int) -> float:
    """E, in rows, of products with a sum that k rows are still to be subtracted from.

    The product is with the sum over all of them, and less one with the k rows, both rounded.

    Args:
        columns: m, of a row with its bias column.
        waiting: k.
    """
    require.nonnegative(columns=columns, waiting=waiting)
    return _EVALUATION * gamma(columns + waiting + 8) * 3 * waiting


def gradient_round_off(
    *,
    weight_norm: float,
    row_norm: float,
    strong_convexity: float,
    rows: int,
    columns: int,
    lost: float,
) -> float:
    """A bound on the error of a gradient that float64 computes from the normal equations.

    Args:
        weight_norm: ||w||.
        row_norm: R, bias column included.
        strong_convexity: mu, the ridge of the mean.
        rows: n, of the mean.
        columns: m, of a row with its bias column.
        lost: E of the sums, in rows; 0 where they are exact.

    Raises:
        AssumptionBroken: if a number is negative or not finite, or n is 0.
    """
    require.nonnegative(weight_norm=weight_norm, row_norm=row_norm, lost=lost)
    require.nonnegative(strong_convexity=strong_convexity, columns=columns)
    require.positive(rows=rows)
    share = lost / rows
    terms = row_norm**2 * weight_norm + row_norm
    computed = gamma(columns + 4) * ((1 + share) * terms + strong_convexity * weight_norm)
    return _EVALUATION * (computed + share * terms)


def rounded_residual_bound(
    *,
    gradient_norm: float,
    retrain_gradient: float,
    charge: float,
    growth: float,
    strong_convexity: float,
) -> float:
    """Theorem 5 where both gradients are off by round-off: (||g|| + G + 2 c(w)) / (mu - c').

    Args:
        gradient_norm: ||g||, as it was computed at w.
        retrain_gradient: G, the gradient norm at which retraining stops, as it was computed.
        charge: c(w), what round-off may be at w.
        growth: c', how much more it may be a unit of length further out.
        strong_convexity: mu.

    Raises:
        AssumptionBroken: if a number is negative or not finite, or mu is not above c'.
    """
    require.nonnegative(gradient_norm=gradient_norm, retrain_gradient=retrain_gradient)
    require.nonnegative(charge=charge, growth=growth)
    require.positive(strong_convexity=strong_convexity)
    if strong_convexity <= 2 * growth:
        raise AssumptionBroken(
            f"a ridge of {strong_convexity:.3g} drowns in the round-off of float64: raise it"
        )
    left = _EVALUATION * (gradient_norm + retrain_gradient + 2 * charge)
    return left / (strong_convexity - growth)


def lost_in_probability(*, columns: int, row_norm: float, weight_norm: float) -> float:
    """A bound on the error of a logistic function of x.w, and of its derivative.

    Args:
        columns: m, of a row with its bias column.
        row_norm: R, bias column included.
        weight_norm: ||w||.

    Raises:
        AssumptionBroken: if a number is negative or not finite.
    """
    require.nonnegative(columns=columns, row_norm=row_norm, weight_norm=weight_norm)
    return _EVALUATION * (gamma(columns + 2) * row_norm * weight_norm / 4 + _LOGISTIC * UNIT)


def mean_gradient_round_off(
    *, rows: int, columns: int, row_norm: float, weight_norm: float, strong_convexity: float
) -> float:
    """A bound on the error of a logistic gradient, a mean by one pass over the rows.

    Args:
        rows: n.
        columns: m, of a row with its bias column.
        row_norm: R, bias column included.
        weight_norm: ||w||.
        strong_convexity: mu, the ridge of the mean.

    Raises:
        AssumptionBroken: if a number is negative or not finite, or n is 0.
    """
    require.positive(rows=rows)
    require.nonnegative(strong_convexity=strong_convexity)
    error = lost_in_probability(columns=columns, row_norm=row_norm, weight_norm=weight_norm)
    sums = (lost_in_sums(rows) / rows + error) * row_norm
    return _EVALUATION * ((1 + gamma(4)) * sums + gamma(4) * strong_convexity * weight_norm)


def lost_in_pass(*, rows: int, of: int, error: float, weight_share: float) -> float:
    """E of the sum that follows from a mean gradient over n of N rows, ridge and all.

    The mean may be by one pass over all N rows and one over the others.

    Args:
        rows: n, of the mean.
        of: N.
        error: of a probability, see `lost_in_probability`.
        weight_share: mu ||w|| / R, of the ridge term that is subtracted again.
    """
    require.nonnegative(error=error, weight_share=weight_share)
    left = of - rows
    lost = lost_after_downdate(lost_in_sums(of) + of * error, of, left) + left * error
    return _EVALUATION * (lost + gamma(8) * (of + left + lost) * (1 + weight_share))


def kept_residual_round_off(
    *,
    step_norm: float,
    weight_norm: float,
    row_norm: float,
    strong_convexity: float,
    rows: int,
    columns: int,
    lost: float,
) -> float:
    """A bound on the error of g - A x, where g and A are those of kept logistic sums.

    Args:
        step_norm: ||x||.
        weight_norm: ||w||, where g is taken.
        row_norm: R, bias column included.
        strong_convexity: mu, the ridge of the mean.
        rows: n, of the mean.
        columns: m, of a row with its bias column.
        lost: E of the sums, in rows.

    Raises:
        AssumptionBroken: if a number is negative or not finite, or n is 0.
    """
    require.nonnegative(step_norm=step_norm, weight_norm=weight_norm, lost=lost)
    require.nonnegative(row_norm=row_norm, strong_convexity=strong_convexity, columns=columns)
    require.positive(rows=rows)
    share = lost / rows
    terms = row_norm**2 * step_norm + row_norm
    ridge = strong_convexity * (weight_norm + step_norm)
    return _EVALUATION * (gamma(columns + 6) * ((1 + share) * terms + ridge) + share * terms)


def cholesky_contraction(*, columns: int, condition: float) -> float:
    """What a solve by a Cholesky factor leaves of the right-hand side at most, as a share of it.

    Args:
        columns: m, the order of the matrix.
        condition: a bound on its largest eigenvalue over its smallest.

    Raises:
        AssumptionBroken: if nothing is known, for the matrix may be singular in float64.
    """
    require.positive(columns=columns, condition=condition)
    backward = 1.01 * columns * gamma(3 * columns + 2) * condition
    if backward >= 0.5:
        raise AssumptionBroken(
            f"a condition number of up to {condition:.3g} is too large for float64: raise the ridge"
        )
    return backward / (1 - backward)

"""Published bounds on a Newton step for a graph request (Chien, Pan, Milenkovic 2022).

They are of the gradient of the sum over m rows of a logistic regression without a bias, one class
against the rest, each row with a ridge lambda. Over m lambda they are distances, and those of the
classes add up. They stand beside ours; none of them gives a claim.
"""

from __future__ import annotations

from benchmark.errors import LetheError
from benchmark.theory import require

#: Bounds of the logistic loss as published: of its slope, of the slope's Lipschitz constant, of a
#: row's gradient, and of the Lipschitz constant of the second derivative.
C, GAMMA_1, C_1, GAMMA_2 = 1.0, 0.25, 1.0, 0.25


def data_dependent_bound(
    *,
    spectral_norm: float,
    step_norm: float,
    moved_norm: float,
    rows: int,
    ridge: float,
) -> float:
    """gamma_2 ||Z|| ||x|| ||Z x|| / (m lambda) for a step x of one class.

    Args:
        spectral_norm: ||Z||, of the retained rows.
        step_norm: ||x||.
        moved_norm: ||Z x||.
        rows: m.
        ridge: lambda.

    Raises:
        AssumptionBroken: if the ridge is not positive or a norm is negative.
        LetheError: if there is no row.
    """
    require.nonnegative(spectral_norm=spectral_norm, step_norm=step_norm, moved_norm=moved_norm)
    _check(rows, ridge)
    return GAMMA_2 * spectral_norm * step_norm * moved_norm / (rows * ridge)


def worst_node_bound(*, degree: int, hops: int, rows: int, ridge: float) -> float:
    """gamma_2 (2 c lambda + K s (2 d - 1))^2 / (lambda^4 (m - 1)) / (m lambda), s as in `_slope`.

    Args:
        degree: d, of the node.
        hops: K.
        rows: m.
        ridge: lambda.

    Raises:
        AssumptionBroken: if the ridge is not positive.
        LetheError: if there are fewer than two rows.
    """
    _check(rows - 1, ridge)
    reach = hops * _slope(ridge) * max(2 * degree - 1, 0)
    return GAMMA_2 * (2 * C * ridge + reach) ** 2 / (ridge**4 * (rows - 1)) / (rows * ridge)


def worst_feature_bound(*, degree: int, rows: int, ridge: float) -> float:
    """gamma_2 (2 c lambda + (c gamma_1 + lambda c_1) d)^2 / (lambda^4 (m - 1)) / (m lambda).

    Arguments and errors are those of `worst_node_bound`.
    """
    _check(rows - 1, ridge)
    reach = _slope(ridge) * degree
    return GAMMA_2 * (2 * C * ridge + reach) ** 2 / (ridge**4 * (rows - 1)) / (rows * ridge)


def worst_edge_bound(*, hops: int, rows: int, ridge: float) -> float:
    """16 gamma_2 K^2 (c gamma_1 + lambda c_1)^2 / (lambda^4 m) / (m lambda).

    Arguments and errors are those of `worst_node_bound`.
    """
    _check(rows, ridge)
    return 16 * GAMMA_2 * hops**2 * _slope(ridge) ** 2 / (ridge**4 * rows) / (rows * ridge)


def _slope(ridge: float) -> float:
    """S = c gamma_1 + lambda c_1."""
    return C * GAMMA_1 + ridge * C_1


def _check(rows: int, ridge: float) -> None:
    require.positive(ridge=ridge)
    if rows < 1:
        raise LetheError("a bound on a mean needs a row that is kept")

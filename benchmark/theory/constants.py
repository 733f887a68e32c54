"""Exact constants of linear heads, from the largest row norm.

Proofs are in docs/theory/bounds.md. A row x is what the linear layer sees, its bias column
included, and R bounds ||x||.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.errors import LetheError
from benchmark.theory import require


@dataclass(frozen=True)
class HeadConstants:
    """What the mean loss of a linear head plus (ridge / 2) ||w||^2 satisfies everywhere.

    Attributes:
        strong_convexity: mu, the ridge.
        gradient_lipschitz: L, an upper bound on every eigenvalue of the Hessian.
        hessian_lipschitz: M, in the spectral norm.
        sample_gradient: a bound on the gradient of one row's loss, without the ridge; None where
            there is none.
        self_concordance: rho, |D^3 f[u, v, v]| <= rho ||u|| D^2 f[v, v].
    """

    strong_convexity: float
    gradient_lipschitz: float
    hessian_lipschitz: float
    sample_gradient: float | None
    self_concordance: float


def softmax_head(row_norm: float, ridge: float) -> HeadConstants:
    """Cross-entropy with one logit per class, for any number of classes.

    L = R^2 / 2 + ridge, M = (sqrt(6) / 9) R^3, gradients <= sqrt(2) R, rho = sqrt(2) R.

    Raises:
        AssumptionBroken: if R or the ridge is negative or not finite.

    >>> softmax_head(1.0, ridge=0.01).gradient_lipschitz
    0.51
    """
    require.nonnegative(row_norm=row_norm, ridge=ridge)
    return HeadConstants(
        strong_convexity=ridge,
        gradient_lipschitz=row_norm**2 / 2 + ridge,
        hessian_lipschitz=math.sqrt(6) / 9 * row_norm**3,
        sample_gradient=math.sqrt(2) * row_norm,
        self_concordance=math.sqrt(2) * row_norm,
    )


def squared_head(row_norm: float, ridge: float) -> HeadConstants:
    """Half the squared distance to a one-hot label, one logit per class: a quadratic.

    L = R^2 + ridge, and no third derivative.

    Raises:
        AssumptionBroken: if R or the ridge is negative or not finite.
    """
    require.nonnegative(row_norm=row_norm, ridge=ridge)
    return HeadConstants(
        strong_convexity=ridge,
        gradient_lipschitz=row_norm**2 + ridge,
        hessian_lipschitz=0.0,
        sample_gradient=None,
        self_concordance=0.0,
    )


def one_vs_rest_head(row_norm: float, ridge: float, classes: int) -> HeadConstants:
    """A binary logistic loss for each class, of a logit of its own, summed over the classes.

    L = R^2 / 4 + ridge, M = R^3 / (6 sqrt(3)), gradients <= sqrt(classes) R, rho = R.

    Raises:
        AssumptionBroken: if R or the ridge is negative or not finite, or there is no class.
    """
    require.nonnegative(row_norm=row_norm, ridge=ridge)
    require.positive(classes=classes)
    return HeadConstants(
        strong_convexity=ridge,
        gradient_lipschitz=row_norm**2 / 4 + ridge,
        hessian_lipschitz=row_norm**3 / (6 * math.sqrt(3)),
        sample_gradient=math.sqrt(classes) * row_norm,
        self_concordance=row_norm,
    )


def a_priori_distance(
    *,
    trained: int,
    forgotten: int,
    sample_gradient: float,
    strong_convexity: float,
    training_gradient: float = 0.0,
) -> float:
    """A bound on ||w* - w_r|| known before any row is named: (2 n_u g / n + 2 G) / mu.

    Args:
        trained: n.
        forgotten: n_u.
        sample_gradient: g, a bound on one row's gradient, without the ridge.
        strong_convexity: mu.
        training_gradient: G, the gradient norm at which training and retraining stop.

    Raises:
        AssumptionBroken: if mu is not positive or a norm is negative.
        LetheError: if the counts leave no row to keep.
    """
    require.positive(strong_convexity=strong_convexity)
    require.nonnegative(sample_gradient=sample_gradient, training_gradient=training_gradient)
    if not 0 <= forgotten < trained:
        raise LetheError(f"{forgotten} of {trained} rows to forget: at least one must be kept")
    gradient = 2 * forgotten * sample_gradient / trained
    return (gradient + 2 * training_gradient) / strong_convexity

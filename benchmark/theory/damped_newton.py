"""The damped Newton step: how far it lands from the retrained weights.

w_new = w* - (H + damping I)^-1 g with g and H the gradient and Hessian of the retained objective
at the trained weights w* (Zhang et al. 2024). Every bound is of one form,

    (B (damping + M B / 2) + error) / (damping + lambda_min),

and the theorems differ in what they charge as error. The numbering is that of
docs/theory/nets.md. Distances are L2 norms of weight vectors, before release noise.
"""

from __future__ import annotations

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require


def exact_step_bound(
    *, distance: float, damping: float, hessian_lipschitz: float, smallest_eigenvalue: float
) -> float:
    """Exact step, exact training: B (damping + M B / 2) / (damping + lambda_min).

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        smallest_eigenvalue: lambda_min of H.

    Raises:
        AssumptionBroken: if damping + lambda_min <= 0, or a constant is negative or not finite.
    """
    return _bound(distance, damping, hessian_lipschitz, smallest_eigenvalue, error=0.0)


def published_step_bound(
    *, radius: float, damping: float, hessian_lipschitz: float, smallest_eigenvalue: float
) -> float:
    """Theorem 1 with B = 2C, as published: 2C (M C + damping) / (damping + lambda_min).

    Args:
        radius: C, training projects onto ||w|| <= C.
        damping: lambda.
        hessian_lipschitz: M, on the ball.
        smallest_eigenvalue: lambda_min of H.

    Raises:
        AssumptionBroken: as `exact_step_bound`.
    """
    return exact_step_bound(
        distance=2 * radius,
        damping=damping,
        hessian_lipschitz=hessian_lipschitz,
        smallest_eigenvalue=smallest_eigenvalue,
    )


def early_stop_bound(
    *,
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    smallest_eigenvalue: float,
    retrain_gradient: float,
    gradient_error: float = 0.0,
) -> float:
    """Training that stops early, and a gradient that is not exact.

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        smallest_eigenvalue: lambda_min of H.
        retrain_gradient: G, a bound on ||grad L(w_r, D_r)||.
        gradient_error: distance of the gradient that was used to g; see `forget_gradient_error`.

    Raises:
        AssumptionBroken: as `exact_step_bound`.
    """
    require.nonnegative(retrain_gradient=retrain_gradient, gradient_error=gradient_error)
    error = retrain_gradient + gradient_error
    return _bound(distance, damping, hessian_lipschitz, smallest_eigenvalue, error)


def forget_gradient_error(*, training_gradient: float, trained: int, forgotten: int) -> float:
    """Error of -(n_u / n_r) grad L(w*, D_u) as a stand-in for g: (n / n_r) ||grad L(w*, D)||.

    It holds where all three losses are means over their rows plus the same ridge.

    Args:
        training_gradient: ||grad L(w*, D)||.
        trained: n, rows of D.
        forgotten: n_u, rows of D_u.

    Raises:
        AssumptionBroken: if the gradient norm is negative or not finite.
        LetheError: if the counts leave no row to keep.
    """
    require.nonnegative(training_gradient=training_gradient)
    if not 0 <= forgotten < trained:
        raise LetheError(f"{forgotten} of {trained} rows to forget: at least one must be kept")
    return trained / (trained - forgotten) * training_gradient


def step_residual_bound(
    *,
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    smallest_eigenvalue: float,
    residual: float,
    retrain_gradient: float,
) -> float:
    """Any step x at all, judged by the residual that it leaves; G is charged as well.

    (B (damping + M B / 2) + G + ||g - (H + damping I) x||) / (damping + lambda_min).

    In a ball, whose constraint may be active, the residual and G are those of the variational
    inequality (`benchmark.problem.convex`), of the step within the ball and of the retrained
    weights.

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        smallest_eigenvalue: lambda_min of H.
        residual: ||g - (H + damping I) x||, from one full-batch product.
        retrain_gradient: G, a bound on ||grad L(w_r, D_r)||.

    Raises:
        AssumptionBroken: as `exact_step_bound`.
    """
    require.nonnegative(residual=residual, retrain_gradient=retrain_gradient)
    error = residual + retrain_gradient
    return _bound(distance, damping, hessian_lipschitz, smallest_eigenvalue, error)


def _bound(
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    smallest_eigenvalue: float,
    error: float,
) -> float:
    """The form all theorems share; `error` is a gradient norm."""
    require.nonnegative(distance=distance, damping=damping, hessian_lipschitz=hessian_lipschitz)
    require.finite(smallest_eigenvalue=smallest_eigenvalue)
    curvature = damping + smallest_eigenvalue
    if curvature <= 0:
        raise AssumptionBroken(
            f"the Newton step needs damping + lambda_min > 0; it is {curvature:.3g} "
            f"(damping {damping:.3g}, lambda_min {smallest_eigenvalue:.3g})"
        )
    return (distance * (damping + hessian_lipschitz * distance / 2) + error) / curvature

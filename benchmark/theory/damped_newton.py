"""The damped Newton step: how far it lands from the retrained weights.

w_new = w* - (H + damping I)^-1 g with g and H the gradient and Hessian of the retained objective
at the trained weights w* (Zhang et al. 2024). Every bound is of one form,

    (B (damping + M B / 2) + error) / (damping + lambda_min),

and the theorems differ in what they charge as error. The numbering is that of
docs/certificates.md. Distances are L2 norms of weight vectors, before release noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require


@dataclass(frozen=True)
class ProbableError:
    """An error bound that holds except with a probability, which must be added to delta."""

    value: float
    failure_probability: float


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


def ball_step_bound(
    *,
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    smallest_eigenvalue: float,
    residual: float,
    retrain_gradient: float,
) -> float:
    """Theorem 1', the norm constraint may be active: the step of `benchmark.claims.ball_step`.

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        smallest_eigenvalue: lambda_min of H.
        residual: of the step's variational inequality, `BallStep.residual`.
        retrain_gradient: G, the same residual of the retrained weights (`ball_residual`).

    Raises:
        AssumptionBroken: as `exact_step_bound`.
    """
    require.nonnegative(residual=residual, retrain_gradient=retrain_gradient)
    error = residual + retrain_gradient
    return _bound(distance, damping, hessian_lipschitz, smallest_eigenvalue, error)


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


def lissa_error_paper(
    *,
    dimension: int,
    curvature: float,
    gradient_lipschitz: float,
    radius: float,
    retrain_gradient: float,
    failure_probability: float,
) -> ProbableError:
    """Theorem 3 as published: (16 sqrt(ln(d / rho)) / mu_A + 1/16) (2 L C + G).

    The paper also asks for enough steps and samples in the recursion; the term is stated here
    for comparison and exceeds the trivial 2 ||v|| / mu_A.

    Args:
        dimension: d, number of weights.
        curvature: mu_A = damping + lambda_min.
        gradient_lipschitz: L.
        radius: C.
        retrain_gradient: G.
        failure_probability: rho.

    Raises:
        AssumptionBroken: if mu_A <= 0, rho is outside (0, 1) or a constant is negative.
    """
    require.positive(curvature=curvature, dimension=dimension)
    require.probability(failure_probability=failure_probability)
    require.nonnegative(
        gradient_lipschitz=gradient_lipschitz, radius=radius, retrain_gradient=retrain_gradient
    )
    spread = 16 * math.sqrt(math.log(dimension / failure_probability)) / curvature
    value = (spread + 1 / 16) * (2 * gradient_lipschitz * radius + retrain_gradient)
    return ProbableError(value, failure_probability)


def lissa_error(
    *,
    gradient_norm: float,
    curvature: float,
    scale: float,
    steps: int,
    chains: int,
    failure_probability: float,
) -> ProbableError:
    """Theorem 3 without a dimension: (||v|| / mu) [(1 - mu/S)^(s+1) + 2 sqrt(2 ln(2/rho) / b)].

    Holds if *every* damped minibatch Hessian lies between mu I and S I, and minibatches are
    drawn independently, within a chain and between chains.

    Args:
        gradient_norm: ||v||, the right-hand side.
        curvature: mu, the smallest eigenvalue any damped minibatch Hessian may have.
        scale: S, at least the largest eigenvalue of any of them.
        steps: s, recursion steps of one chain.
        chains: b, independent chains averaged.
        failure_probability: rho.

    Raises:
        AssumptionBroken: if mu <= 0, S < mu, rho is outside (0, 1) or ||v|| is negative.
        LetheError: if there is no chain or a negative number of steps.
    """
    require.nonnegative(gradient_norm=gradient_norm)
    require.positive(curvature=curvature, scale=scale)
    require.probability(failure_probability=failure_probability)
    if scale < curvature:
        raise AssumptionBroken(f"LiSSA needs scale >= curvature; {scale:.3g} < {curvature:.3g}")
    if steps < 0 or chains < 1:
        raise LetheError(f"LiSSA needs steps >= 0 and chains >= 1, not {steps} and {chains}")
    bias = (1 - curvature / scale) ** (steps + 1)
    spread = 2 * math.sqrt(2 * math.log(2 / failure_probability) / chains)
    # No chain and no exact solution is longer than ||v|| / mu, so 2 ||v|| / mu always holds.
    return ProbableError(gradient_norm / curvature * min(2.0, bias + spread), failure_probability)


def lissa_step_bound(
    *,
    distance: float,
    damping: float,
    hessian_lipschitz: float,
    smallest_eigenvalue: float,
    retrain_gradient: float,
    solve_error: ProbableError,
) -> ProbableError:
    """Theorem 2 plus a randomised solver's error, which fails with a probability of its own.

    Args:
        distance: B, a bound on ||w* - w_r||.
        damping: lambda.
        hessian_lipschitz: M, on the segment from w* to w_r.
        smallest_eigenvalue: lambda_min of H.
        retrain_gradient: G, a bound on ||grad L(w_r, D_r)||.
        solve_error: of the step itself, from `lissa_error` or `lissa_error_paper`.

    Raises:
        AssumptionBroken: as `exact_step_bound`.
    """
    require.nonnegative(solve_error=solve_error.value)
    exact = early_stop_bound(
        distance=distance,
        damping=damping,
        hessian_lipschitz=hessian_lipschitz,
        smallest_eigenvalue=smallest_eigenvalue,
        retrain_gradient=retrain_gradient,
    )
    return ProbableError(exact + solve_error.value, solve_error.failure_probability)


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


def within_ball(bound: float, radius: float) -> float:
    """min{2C, bound}: released and retrained weights both lie in the ball of radius C.

    Raises:
        AssumptionBroken: if an argument is negative or not finite.
    """
    require.nonnegative(bound=bound, radius=radius)
    return min(2 * radius, bound)


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

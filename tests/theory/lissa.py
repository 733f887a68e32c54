"""What the stochastic solver of a Newton step may err by (Zhang et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require
from benchmark.theory.damped_newton import early_stop_bound


@dataclass(frozen=True)
class ProbableError:
    """An error bound that holds except with a probability, which must be added to delta."""

    value: float
    failure_probability: float


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

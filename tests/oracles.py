"""Statements of docs/theory/ that no method rests on, for the tests that check them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.errors import AssumptionBroken, LetheError
from benchmark.theory import require
from benchmark.theory.constants import HeadConstants
from benchmark.theory.damped_newton import early_stop_bound
from benchmark.theory.gaussian import m_for
from benchmark.theory.spectrum import relative_error

# Noise for a distance, exactly and by the textbook's formula.


def sigma_for(epsilon: float, delta: float, sensitivity: float) -> float:
    """The least noise per coordinate that makes distance `sensitivity` (epsilon, delta).

    Raises:
        AssumptionBroken: if an argument is negative or not finite, or delta is outside (0, 1).
    """
    require.nonnegative(sensitivity=sensitivity)
    return sensitivity / m_for(epsilon, delta)


def classical_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The textbook noise, Delta sqrt(2 ln(1.25 / delta)) / epsilon (Dwork & Roth 2014, A.1).

    It is here to be compared with `sigma_for`, which is never larger.

    Raises:
        AssumptionBroken: if epsilon is above 1, where the formula is no theorem.
    """
    require.positive(epsilon=epsilon)
    require.nonnegative(sensitivity=sensitivity)
    require.probability(delta=delta)
    if epsilon > 1:
        raise AssumptionBroken(
            f"the classical Gaussian formula is proved for epsilon <= 1 only; it is {epsilon:.3g}"
        )
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon


# A local certificate: a minimiser of the retained objective is near (Kantorovich 1948).
#
# It says nothing about *the* retrained weights, and it is no (epsilon, delta) statement.


def kantorovich_radius(
    *, gradient_norm: float, smallest_eigenvalue: float, hessian_lipschitz: float
) -> float:
    """Radius around w that holds exactly one stationary point of f, a minimiser.

    (1 - sqrt(1 - 2h)) mu_0 / M with h = M ||grad f(w)|| / mu_0^2, if h <= 1/2.

    Args:
        gradient_norm: ||grad f(w)||.
        smallest_eigenvalue: mu_0, of hess f(w).
        hessian_lipschitz: M, on the ball of the returned radius around w.

    Raises:
        AssumptionBroken: if mu_0 is not positive, h is above 1/2 or a constant is negative.
    """
    require.nonnegative(gradient_norm=gradient_norm, hessian_lipschitz=hessian_lipschitz)
    require.positive(smallest_eigenvalue=smallest_eigenvalue)
    h = hessian_lipschitz * gradient_norm / smallest_eigenvalue**2
    if h > 0.5:
        raise AssumptionBroken(f"Kantorovich's theorem needs h <= 1/2; it is {h:.3g}")
    # The same number, written so that M = 0 is allowed and nothing cancels.
    return 2 * gradient_norm / (smallest_eigenvalue * (1 + math.sqrt(1 - 2 * h)))


# What the stochastic solver of a Newton step may err by (Zhang et al. 2024).


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


# Exact constants of a logistic head with one logit.


def binary_head(row_norm: float, ridge: float) -> HeadConstants:
    """Logistic loss with a single logit.

    L = R^2 / 4 + ridge, M = R^3 / (6 sqrt(3)), gradients <= R, rho = R.

    Raises:
        AssumptionBroken: if R or the ridge is negative or not finite.
    """
    require.nonnegative(row_norm=row_norm, ridge=ridge)
    return HeadConstants(
        strong_convexity=ridge,
        gradient_lipschitz=row_norm**2 / 4 + ridge,
        hessian_lipschitz=row_norm**3 / (6 * math.sqrt(3)),
        sample_gradient=row_norm,
        self_concordance=row_norm,
    )


# What a Newton step leaves of the gradient, before it is measured (Guo et al. 2020).


def newton_residual(*, step_norm: float, solve_residual: float, hessian_lipschitz: float) -> float:
    """A bound on the gradient that a Newton step x leaves: ||g - H x|| + M ||x||^2 / 2.

    For the mean loss, whatever linear term perturbs it.

    Args:
        step_norm: ||x||.
        solve_residual: ||g - H x||, of the linear solve.
        hessian_lipschitz: M.

    Raises:
        AssumptionBroken: if a number is negative or not finite.
    """
    require.nonnegative(
        step_norm=step_norm, solve_residual=solve_residual, hessian_lipschitz=hessian_lipschitz
    )
    return solve_residual + hessian_lipschitz * step_norm**2 / 2


# A bound on the smallest eigenvalue where the largest is known by proof.


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

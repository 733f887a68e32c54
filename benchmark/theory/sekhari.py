"""One Newton step from the forgotten rows' gradients, before any is seen (Sekhari et al. 2021)."""

from __future__ import annotations

from benchmark.theory.constants import a_priori_distance
from benchmark.theory.damped_newton import early_stop_bound, forget_gradient_error


def sekhari_bound(
    *,
    trained: int,
    forgotten: int,
    sample_gradient: float,
    strong_convexity: float,
    hessian_lipschitz: float,
    training_gradient: float = 0.0,
    solve_residual: float = 0.0,
) -> float:
    """Distance of w* + H^{-1} (1 / n_r) sum_u grad l_u to w_r, with H on D_r at w*.

    [M B^2 / 2 + G + (n / n_r) G + ||r||] / mu with B = (2 n_u g / n + 2 G) / mu. Exact training
    and solves leave the published 2 M n_u^2 g^2 / (mu^3 n^2).

    Args:
        trained: n.
        forgotten: n_u, of them.
        sample_gradient: g, a bound on one row's gradient; the ridge, which all rows share, drops
            out of it.
        strong_convexity: mu.
        hessian_lipschitz: M.
        training_gradient: G, the gradient norm at which training and retraining stop.
        solve_residual: ||r|| of the linear solve.

    Raises:
        AssumptionBroken: if mu is not positive, or a constant is negative or not finite.
        LetheError: if the counts leave no row to keep.
    """
    distance = a_priori_distance(
        trained=trained,
        forgotten=forgotten,
        sample_gradient=sample_gradient,
        strong_convexity=strong_convexity,
        training_gradient=training_gradient,
    )
    owed = forget_gradient_error(
        training_gradient=training_gradient, trained=trained, forgotten=forgotten
    )
    return early_stop_bound(
        distance=distance,
        damping=0.0,
        hessian_lipschitz=hessian_lipschitz,
        smallest_eigenvalue=strong_convexity,
        retrain_gradient=training_gradient,
        gradient_error=owed + solve_residual,
    )

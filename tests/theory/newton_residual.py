"""What a Newton step leaves of the gradient, before it is measured (Guo et al. 2020)."""

from __future__ import annotations

from benchmark.theory import require


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

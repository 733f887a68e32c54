"""The gradient that full-batch descent ends at (for recollection, after Qiao et al. 2025)."""

from __future__ import annotations

from benchmark.errors import AssumptionBroken
from benchmark.theory import require
from benchmark.theory.contraction import check_step


def descent_gradient(
    *,
    start_gradient: float,
    kept: float,
    steps: int,
    step_size: float,
    strong_convexity: float,
    gradient_lipschitz: float,
) -> float:
    """G after T full-batch steps of eta times `kept`: (1 - eta kept mu)^T ||grad L(w_0, D_r)||.

    Along gradient descent grad L(w_t+1) = (I - eta kept H) grad L(w_t), H a mean of Hessians.

    Args:
        start_gradient: ||grad L(w_0, D_r)||.
        kept: n_r over the divisor of the batch, in [0, 1].
        steps: T.
        step_size: eta.
        strong_convexity: mu.
        gradient_lipschitz: L.

    Raises:
        AssumptionBroken: if the step is too long to contract, or a number is out of its range.
    """
    require.nonnegative(start_gradient=start_gradient, kept=kept)
    check_step(step_size, strong_convexity, gradient_lipschitz)
    if kept > 1:
        raise AssumptionBroken(f"the share of rows that are kept is at most 1; it is {kept:.3g}")
    return (1 - step_size * kept * strong_convexity) ** steps * start_gradient

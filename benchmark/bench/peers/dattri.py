"""Conjugate gradients of dattri (Deng et al. 2024, arXiv:2410.04555)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from benchmark.curvature.system import System


def open_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    It always does as many iterations as it is told, whatever its tolerance.
    """
    from dattri.func.hessian import ihvp_at_x_cg

    def loss(weights: Tensor) -> Tensor:
        return system.problem.loss(weights, system.rows)

    def solve(iterations: int) -> Tensor:
        inverse = ihvp_at_x_cg(
            loss,
            system.weights,
            argnums=0,
            max_iter=iterations,
            mode="rev-rev",
            regularization=system.damping,
        )
        return inverse(system.b).squeeze(0).detach()

    return solve

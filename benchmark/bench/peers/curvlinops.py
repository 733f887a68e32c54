"""Conjugate gradients of curvlinops (Dangel et al. 2025, arXiv:2501.19183)."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from benchmark.bench.peers.net import as_module
from benchmark.curvature.system import System


def open_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    Its own stopping rule is put out of reach: by default it stops after ten iterations with the
    residual unseen.
    """
    from curvlinops import CGInverseLinearOperator, HessianLinearOperator
    from curvlinops.examples import IdentityLinearOperator

    module = as_module(system)
    parameters = list(module.parameters())
    shift = system.damping + system.problem.objective.ridge

    def solve(iterations: int) -> Tensor:
        hessian = HessianLinearOperator(
            module,
            torch.nn.CrossEntropyLoss(),
            parameters,
            [(system.rows.x, system.rows.y)],
            check_deterministic=False,
        )
        shapes = [p.shape for p in parameters]
        identity = IdentityLinearOperator(shapes, system.b.device, system.b.dtype)
        inverse = CGInverseLinearOperator(
            hessian + shift * identity,
            max_iter=iterations,
            max_tridiag_iter=0,
            tolerance=0.0,
            stop_updating_after=0.0,
            eps=0.0,
        )
        with warnings.catch_warnings():
            # it warns that a tolerance of 0 was not reached, and that torch.jit will go
            warnings.simplefilter("ignore")
            return (inverse @ system.b).detach()

    return solve

"""Conjugate gradients of curvlinops and dattri on our systems, and when they should stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from benchmark.curvature.hessian import Operator
from benchmark.solvers.solver import System


def as_module(system: System) -> nn.Module:
    """The net with the system's weights, in evaluation mode; no generator is drawn from."""
    problem = system.problem
    with torch.device("meta"):
        module = problem.model.spec.module(problem.model.inputs, problem.model.classes)
    module = module.to(system.b.dtype).to_empty(device=system.b.device)
    vector_to_parameters(system.weights.clone(), module.parameters())
    return module.eval()


def iterations(
    operator: Operator, b: Tensor, *, start: Literal["zero", "b"], tolerance: float, limit: int
) -> int | None:
    """The least k after which ||b - A x_k|| <= tolerance ||b||; None if `limit` does not do.

    The libraries stop by rules of their own, some of which are not the one asked for. They all
    run the plain iteration, so it says beforehand when to stop them.

    Args:
        operator: A.
        b: (d,).
        start: x_0; two of the libraries start from b itself.
        tolerance: relative to ||b||.
        limit: the largest k.
    """
    x = b.new_zeros(b.shape) if start == "zero" else b.clone()
    r = b - operator @ x
    p, rr = r.clone(), float(r.dot(r))
    goal = tolerance * float(b.norm())
    for k in range(limit + 1):
        if rr**0.5 <= goal:
            return k
        ap = operator @ p
        pap = float(p.dot(ap))
        if not pap > 0:
            return None
        r = r.sub(ap, alpha=rr / pap)
        rr, old = float(r.dot(r)), rr
        p = r.add(p, alpha=rr / old)
    return None


def curvlinops_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    By curvlinops (Dangel et al. 2025, arXiv:2501.19183).

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


def dattri_solver(system: System) -> Callable[[int], Tensor]:
    """A function from a number of iterations to x, (d,); each call sets everything up anew.

    By dattri (Deng et al. 2024, arXiv:2410.04555). It always does as many iterations as it is
    told, whatever its tolerance.
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

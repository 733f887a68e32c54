"""Certified single-step Newton update with the paper's stochastic solver."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from benchmark.claims.uniform import Point
from benchmark.contract.request import Request
from benchmark.curvature.hessian import Damped
from benchmark.curvature.lissa import lissa
from benchmark.errors import AssumptionBroken
from methods.newton import Newton


class NewtonLissa(Newton):
    """The Newton step as published, its inverse Hessian by LiSSA; judged by what it leaves."""

    name: ClassVar[str] = "newton-lissa"
    title: ClassVar[str] = "Single-step Newton, LiSSA"

    #: S of the recursion; the paper's 1,000 suits its nets and damping.
    scale: float = Field(50.0, gt=0)
    chains: int = Field(10, ge=1)
    depth: int = Field(100, ge=1)
    batch: int = Field(10, ge=1)

    def _solve(self, request: Request, damped: Damped, at: Point) -> Tensor:
        problem, gradient = request.problem, at.gradient
        step = lissa(
            problem.minibatch_hessians(at.weights),
            request.retain_rows,
            gradient,
            request.generator("training", self.name, at.number),
            damping=damped.damping + problem.objective.ridge,  # the same product, in less time
            scale=self.scale,
            chains=self.chains,
            depth=self.depth,
            batch=self.batch,
        )
        residual, norm = float((gradient - damped @ step).norm()), float(gradient.norm())
        goes_on = problem.strong_convexity is not None and self.noise == "uniform"
        if not residual <= 2 * norm and not goes_on:
            raise AssumptionBroken(
                f"LiSSA diverged: its residual is {residual / norm:.3g} times the gradient; "
                f"raise scale above {self.scale:g} or damping above {damped.damping:.3g}"
            )
        return step

"""The influence of the forgotten rows, taken back, without a certificate."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.errors import DidNotConverge
from benchmark.problem.convex import project
from benchmark.solvers.solver import SOLVERS, System


class Influence(Method):
    """w + (1 / n_r) (H_r + damping I)^-1 (sum of the forgotten rows' gradients), no noise.

    H_r is the Hessian on the retained rows, each row's objective with its ridge. At the optimum
    of a quadratic objective, undamped, it is retraining. Of rows that are altered the new versions'
    gradients are subtracted: on a graph that is GIF (Wu et al., WWW 2023).
    """

    name = "influence"
    title = "Influence update"
    source = Source(
        paper="Koh, Liang: Understanding Black-box Predictions via Influence Functions (ICML 2017)",
        url="https://arxiv.org/abs/1703.04730",
    )
    search: ClassVar = {"damping": (0.01, 0.03, 0.1, 0.2, 0.5, 1.0)}

    solver: Literal["cg", "minres", "cg-nystroem", "chebyshev", "lissa"] = "cg"
    damping: float = Field(0.2, ge=0)
    #: Relative to the right-hand side.
    tolerance: float = Field(1e-3, gt=0, examples=[0.5])
    #: Hessian products at most.
    products: int = Field(200, ge=1, examples=[2])

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        ratio = len(request.forget) / len(request.retain)
        with request.clock.phase("gradient"):
            b = ratio * problem.gradient(weights, request.forget_rows)
            if len(request.altered):
                share = len(request.altered) / len(request.retain)
                b = b - share * problem.gradient(weights, request.altered_rows)
        with request.clock.phase("inverse_hessian"):
            system = System(problem, weights, request.retain_rows, self.damping, b)
            generator = request.generator("training", self.name)
            found = SOLVERS[self.solver].solve(system, self.tolerance, self.products, generator)
        if found.curvature is not None:
            raise DidNotConverge(
                f"{self.name}: the damped Hessian is not positive definite (curvature "
                f"{found.curvature:.3g}): raise damping"
            )
        return request.release(project(weights + found.x, problem.training.radius))

"""L-CODEC: a Newton step on the units that the loss of the forgotten rows depends on."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.dependence import feature_ordering
from benchmark.errors import DidNotConverge
from benchmark.problem.convex import project
from benchmark.problem.problem import Problem
from benchmark.problem.variants import Units, restricted
from benchmark.solvers.solver import SOLVERS, System


class LCodec(Method):
    """w_P + (1 / n_r) (H_PP + damping I)^-1 (sum of the forgotten rows' gradients)_P.

    P are the weights of some units. The inputs to forget are perturbed at random, again and again;
    units join P, best first, while the mean loss depends on their mean outputs, given the units in
    P, by the coefficient of Azadkia & Chatterjee. H is the exact Hessian on the retained rows,
    where the paper's code takes finite differences of stored gradients.
    """

    name = "l-codec"
    title = "L-CODEC"
    source = Source(
        paper="Mehta, Pal, Singh, Ravi: Deep Unlearning via Randomized Conditionally Independent "
        "Hessians (CVPR 2022)",
        url="https://arxiv.org/abs/2204.07655",
    )
    search: ClassVar = {"damping": (0.01, 0.03, 0.1, 0.2, 0.5), "spread": (0.03, 0.1, 0.3)}

    #: How often the inputs are perturbed, and the standard deviation of it.
    perturbations: int = Field(100, ge=4, examples=[10])
    spread: float = Field(0.1, gt=0)
    damping: float = Field(0.2, ge=0)
    #: Relative to the right-hand side.
    tolerance: float = Field(1e-3, gt=0, examples=[0.5])
    #: Hessian products at most.
    products: int = Field(200, ge=1, examples=[2])

    def unlearn(self, request: Request) -> Release:
        weights = request.original.weights
        with request.clock.phase("selection"):
            units = Units(request.problem.model)
            blanket = torch.tensor(self._blanket(request, units))
            free = torch.isin(units.owners(), blanket).to(weights.device)
        with request.clock.phase("inverse_hessian"):
            part = restricted(request.problem, weights, free)
            step = self._newton_step(request, part, weights[free])
            learned = project(weights[free] + step, part.training.radius)
        return request.release(part.model.whole(learned))

    def _blanket(self, request: Request, units: Units) -> list[int]:
        """The units that are chosen, best first."""
        rows, generator = request.forget_rows, request.generator("training", self.name)
        losses, outputs = [], []
        for _ in range(self.perturbations):
            noise = torch.randn(rows.x.shape, generator=generator, dtype=torch.float64)
            out, logits = units.outputs(
                request.original.weights, rows.x + self.spread * noise.to(rows.x)
            )
            losses.append(request.problem.objective.data_term(logits.double(), rows.y))
            outputs.append(out.double().mean(dim=0))
        return feature_ordering(torch.stack(losses).cpu(), torch.stack(outputs).cpu())

    def _newton_step(self, request: Request, part: Problem, w: Tensor) -> Tensor:
        ratio = len(request.forget) / len(request.retain)
        b = ratio * part.gradient(w, request.forget_rows)
        if len(request.altered):
            share = len(request.altered) / len(request.retain)
            b = b - share * part.gradient(w, request.altered_rows)
        system = System(part, w, request.retain_rows, self.damping, b)
        generator = request.generator("training", self.name, "solver")
        found = SOLVERS["cg"].solve(system, self.tolerance, self.products, generator)
        if found.curvature is not None:
            raise DidNotConverge(
                f"{self.name}: the damped Hessian is not positive definite (curvature "
                f"{found.curvature:.3g}): raise damping"
            )
        return found.x

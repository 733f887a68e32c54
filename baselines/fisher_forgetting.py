"""Fisher forgetting: noise where the retained rows do not mind it."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.output_loss import fisher_diagonal
from benchmark.problem.convex import project


class FisherForgetting(Method):
    """w + scale F^(-1/4) z, z standard normal, F the Fisher diagonal on the retained rows.

    The noise is part of the algorithm and promises nothing, so the training seed draws it: the
    axis of noise is that of noise a certificate accounts for.
    """

    name = "fisher-forgetting"
    title = "Fisher forgetting"
    source = Source(
        paper="Golatkar, Achille, Soatto: Eternal Sunshine of the Spotless Net (CVPR 2020)",
        url="https://arxiv.org/abs/1911.04933",
    )
    needs = frozenset({"retain"})
    search: ClassVar = {"scale": (1e-3, 3e-3, 0.01, 0.03, 0.1), "damping": (1e-6, 1e-4)}

    #: (lambda sigma_h^2)^(1/4) of the paper.
    scale: float = Field(0.01, gt=0)
    #: Added to F: weights that no row looks at would otherwise get noise without bound.
    damping: float = Field(1e-6, gt=0)

    def unlearn(self, request: Request) -> Release:
        problem, weights = request.problem, request.original.weights
        with request.clock.phase("fisher"):
            fisher = fisher_diagonal(problem.model, weights, request.retain_rows.x)
        with request.clock.phase("noise"):
            generator = request.generator("training", self.name)
            draw = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
            noise = self.scale * (fisher + self.damping) ** -0.25 * draw.to(weights)
        return request.release(project(weights + noise, problem.training.radius))

"""The paper's recursion as it is published: one chain after the other, one small batch a step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.rows import Rows
from benchmark.solvers.solver import System


@dataclass(frozen=True)
class Recursion:
    """LiSSA with the settings of Zhang et al. (ICML 2024): the baseline, not a solver of ours.

    Attributes:
        chains: independent estimates that are averaged.
        depth: steps of each.
        batch: rows of one step, drawn with replacement.
    """

    chains: int = 10
    depth: int = 1000
    batch: int = 10

    def solve(self, system: System, scale: float, generator: torch.Generator) -> Tensor:
        """An estimate of (H + lambda I)^{-1} b, (d,): the mean of u / scale over the chains.

        Args:
            system: what is solved; the damping is an explicit lambda I.
            scale: S, that keeps the recursion from diverging.
            generator: draws the batches.
        """
        total = torch.zeros_like(system.b)
        for _ in range(self.chains):
            u = system.b.clone()
            for _ in range(self.depth):
                index = torch.randint(len(system.rows), (self.batch,), generator=generator)
                product = double_backward(system, system.rows.take(index), u)
                u = system.b + u - (product + system.damping * u) / scale
            total += u / scale
        return total / self.chains


def double_backward(system: System, rows: Rows, vector: Tensor) -> Tensor:
    """The Hessian over `rows` times `vector`, (d,), its graph built for this one product."""
    weights = system.weights.detach().requires_grad_()
    loss = system.problem.loss(weights, rows)
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    return torch.autograd.grad(gradient, weights, vector)[0]

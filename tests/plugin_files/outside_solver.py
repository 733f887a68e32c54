"""A solver."""

from __future__ import annotations

import torch

from lethe import Solution, Solver, System, conjugate_gradients


class OutsideSolver(Solver):
    """Conjugate gradients under another name."""

    name = "outside-solver"
    title = "Outside solver"
    source = "a test"

    @classmethod
    def run(
        cls, system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        return conjugate_gradients(
            system.operator, system.b, tolerance=tolerance, max_products=budget
        )

"""Against some algorithm that sees the retained rows only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.contract.definition import Definition

if TYPE_CHECKING:
    from benchmark.contract.method import Method
    from benchmark.contract.request import Release, Request


class Reference(Definition):
    """U(D, D_u, A(D)) against an algorithm of D_r alone: the method's own steps from A(D_r)."""

    name = "reference"
    title = "against an algorithm of the retained rows"
    source = "Koloskova et al., Certified Unlearning for Neural Networks (2025)"
    words = (
        "There is an algorithm that sees D_r only, and its output and the release U(D, D_u, A(D)) "
        "are (ε, δ)-indistinguishable. Here it is the method's own program, started from A(D_r)."
    )

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        """The method's program on D_r, from a start that never saw D_u."""
        return method.answer(without)

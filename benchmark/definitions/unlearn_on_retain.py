"""Against the method itself, where the rows never were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.contract.definition import Definition

if TYPE_CHECKING:
    from benchmark.contract.method import Method
    from benchmark.contract.request import Release, Request


class UnlearnOnRetain(Definition):
    """U(D, D_u, A(D)) against U(D_r, {}, A(D_r))."""

    name = "unlearn-on-retain"
    title = "against retraining and an empty request"
    source = "Sekhari et al., Remember What You Want to Forget (2021)"
    words = (
        "The releases U(D, D_u, A(D)) and U(D_r, ∅, A(D_r)) are (ε, δ)-indistinguishable: the "
        "retrained model, put through the same method with nothing to forget, and so through the "
        "same release noise."
    )

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        """The answer to the empty request on A(D_r)."""
        return method.answer(without)

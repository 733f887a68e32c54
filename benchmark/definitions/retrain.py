"""Against the retrained model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.contract.claim import Construction
from benchmark.contract.definition import Definition
from benchmark.errors import LetheError, present

if TYPE_CHECKING:
    from benchmark.contract.method import Method
    from benchmark.contract.request import Release, Request


class Retrain(Definition):
    """U(D, D_u, A(D)) against A(D_r), published as training publishes it."""

    name = "retrain"
    title = "against retraining"
    source = "Guo et al., Certified Data Removal from Machine Learning Models (2020)"
    words = (
        "The release U(D, D_u, A(D)) and A(D_r) itself are (ε, δ)-indistinguishable. A must be "
        "noisy, and publish with the same noise as a release, unless the release is exact."
    )

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        """A(D_r), as the empty request publishes it: its weights before noise may not move.

        Where a release is exact there is no noise to publish with, and A(D_r) is taken as it is.
        """
        if isinstance(present(claimed.claim).evidence, Construction):
            return without.release(without.original.weights, claimed.claim)
        release = method.answer(without)
        if not release.state.weights.allclose(without.original.weights, rtol=1e-9):
            raise LetheError(
                f"{method.name} claims the definition 'retrain' and changes A(D_r) when there is "
                "nothing to forget"
            )
        return release

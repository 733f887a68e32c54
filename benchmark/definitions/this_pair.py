"""A yardstick: two Gaussians around two given models, under a noise that was fitted to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.contract.definition import Definition

if TYPE_CHECKING:
    from benchmark.contract.method import Method
    from benchmark.contract.request import Release, Request


class ThisPair(Definition):
    """N(w, sigma^2 I) against N(w_r, sigma^2 I), for this w, this w_r and this sigma."""

    name = "this-pair"
    title = "this pair of Gaussians only"
    source = "Lethe; what many papers report as a certificate"
    words = (
        "The two Gaussians N(w, σ² I) and N(w_r, σ² I) around these weights and the retrained "
        "ones are (ε, δ)-indistinguishable, for the σ that was computed from this very request. "
        "On the other side of any definition of unlearning the method would have published "
        "another σ, and given itself away: a yardstick for bounds, not a proof of unlearning."
    )
    proves = False

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        """A(D_r) under the very noise that was claimed."""
        return without.release(without.original.weights, claimed.claim)

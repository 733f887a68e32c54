"""The definitions that the literature uses, and a yardstick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmark.contract.claim import Construction
from benchmark.contract.definition import Definition
from benchmark.errors import LetheError, present

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

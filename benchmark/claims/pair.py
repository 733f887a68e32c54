"""Noise that follows from what was measured on the request: a yardstick, and no proof."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.claims.bounds import Bound, least
from benchmark.claims.stated import caveats
from benchmark.contract.claim import HOLDS, Claim, Distance
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.request import Request
from benchmark.theory.gaussian import m_for


def pair_claim(
    request: Request, bounds: Sequence[Bound], trivial: Bound, sigma: float | None = None
) -> Claim:
    """Noise for the least proved bound on this release, in the sense of `this-pair`.

    Args:
        request: that is answered.
        bounds: for the weights before noise, at least one of them proved.
        trivial: the bound for doing nothing on this request.
        sigma: noise fixed beforehand; its own epsilon is then stated.
    """
    best, target = least(bounds), request.target
    m = m_for(target.epsilon, target.delta) if sigma is None else best.value / sigma
    return Claim.of(
        "this-pair",
        Gaussian(m=m),
        Distance(
            bound=best.value,
            sigma=best.value / m,
            trivial=trivial.value,
            constants=tuple(c for c in best.constants if c.provenance in HOLDS),
            theorem=best.theorem,
            reached=best.value,
            alternatives=tuple(bound.alternative for bound in bounds if bound is not best),
            measured=tuple(c for c in best.constants if c.provenance not in HOLDS),
        ),
        delta=target.delta,
        caveats=caveats(request),
    )

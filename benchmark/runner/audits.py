"""What an audit of a release can refute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmark.audit.mechanism import mechanism_audit
from benchmark.contract.clock import Clock
from benchmark.contract.request import Release, Request
from benchmark.metrics.value import Value

#: Noise draws on each side.
DRAWS = 200_000
#: A correct certificate is called refuted once in a thousand audits at most.
CONFIDENCE = 0.999


def audit(request: Request, release: Release) -> dict[str, Value]:
    """A lower bound on epsilon from the noise that the release really carries.

    The release is drawn again and again, each time with fresh noise from the very code that
    published it. Its noise is compared on the two sides of a gap of `sensitivity`, the worst pair
    of models the certificate allows: each coordinate of N(0, sigma^2 I) is a projection on a unit
    vector, so noise that is too small, or absent, shows.

    Noise drawn inside the algorithm is no such draw: only whole runs audit it.

    Args:
        request: that was answered.
        release: the answer.
    """
    certificate = release.certificate
    if certificate is None or certificate.sigma == 0:
        return {}
    if certificate.noise == "inside":
        note = "the noise is drawn inside the algorithm: whole runs audit it (lethe audit)"
        return {"audited_epsilon": Value(value=None, direction="none", note=note)}
    noise = _noise(request, release)
    result = mechanism_audit(
        certificate.sensitivity + noise[:DRAWS], noise[DRAWS:], certificate.delta, CONFIDENCE
    )
    return {
        "audited_epsilon": Value(
            value=result.lower_epsilon,
            direction="none",
            n=result.draws,
            note=f"lower bound at {100 * CONFIDENCE:g} % confidence; above epsilon it refutes it",
        )
    }


def _noise(request: Request, release: Release) -> np.ndarray:
    """(2 * DRAWS,) coordinates of release noise, over as many releases as that takes."""
    noiseless = release.state.weights
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < 2 * DRAWS:
        # another request number is another stream of noise
        again = replace(
            request, number=request.number + 1 + len(pieces), clock=Clock(request.clock.device)
        )
        published = again.release(noiseless, release.certificate).predictor.weights
        pieces.append((published.double() - noiseless.double()).flatten().cpu().numpy())
    return np.concatenate(pieces)[: 2 * DRAWS]

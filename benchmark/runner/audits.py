"""Looking at what a release really published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from benchmark.audit.mechanism import mechanism_audit
from benchmark.audit.published_noise import SUSPICIOUS, NoiseAudit, audit_noise
from benchmark.contract.claim import Claim
from benchmark.contract.request import Release, Request
from benchmark.contract.value import Value

#: A correct certificate is called refuted once in a thousand audits at most.
CONFIDENCE = 0.999
#: Coordinates on each side below which nothing can be refuted.
FEWEST = 10


def published(release: Release) -> Tensor:
    """The weights that a release published, in the shape of its state's.

    Where they were projected after the noise, those before the projection: what is published must
    then be a function of them, which `benchmark.runner.properties` holds.
    """
    weights = release.predictor.members if release.unprojected is None else release.unprojected
    return weights.reshape(release.state.weights.shape)


def denoised(request: Request, release: Release) -> Tensor:
    """What was published less the noise that it should carry.

    The noise is drawn again from the request's seeds. If the release carried other noise, or other
    weights than those that it was certified for, the result is far from the retrained weights.
    """
    return published(release) - request.release_noise(release.state.weights, release.claim)


def audit(
    answers: Sequence[tuple[Request, Release]], directions: Mapping[str, Tensor]
) -> dict[str, Value]:
    """Tests of the noise that releases carried, from the published weights themselves.

    Args:
        answers: each request of a stream and its release, in order; all of one claim's kind.
        directions: named ones along which to look, (d,) each; none may depend on the noise.
    """
    claims = [release.claim for _, release in answers]
    if any(claim is None or claim.evidence.kind == "construction" for claim in claims):
        return {}
    if all(claim.release_sigma for claim in claims):
        residuals = [_array(published(release) - release.state.weights) for _, release in answers]
        sigmas = [claim.release_sigma for claim in claims]
        looked = {name: _array(direction) for name, direction in directions.items()}
        found = audit_noise(residuals, sigmas, looked, level=SUSPICIOUS)
        return _tests(found) | _refuted(residuals[-1] / sigmas[-1], claims[-1])
    steps = [release.noisy for _, release in answers]
    if any(step is None for step in steps):
        note = "the noise is drawn while training: whole runs audit it (lethe audit)"
        return {"noise_p": Value(value=None, note=note)}
    residuals = [_array(step.noised - step.centre) for step in steps]
    return _tests(audit_noise(residuals, [step.sigma for step in steps], level=SUSPICIOUS))


def _tests(found: NoiseAudit) -> dict[str, Value]:
    n = len(found.findings)
    return {
        "noise_scale": Value(
            value=found.scale, n=n, note="size of the noise that was published over that claimed"
        ),
        "noise_p": Value(value=found.least, n=n, note=found.text),
    }


def _refuted(noise: np.ndarray, claim: Claim) -> dict[str, Value]:
    """A lower bound on epsilon from the (d,) published coordinates of noise, in sigmas.

    Each is a projection on a unit vector. Half of them are moved by m, as the worst pair of models
    that the claim allows would be apart: noise that is too small then shows.
    """
    half = len(noise) // 2
    if half < FEWEST:
        note = f"{len(noise)} weights are too few to refute anything"
        return {"audited_epsilon": Value(value=None, note=note)}
    m = claim.evidence.bound / claim.evidence.sigma
    result = mechanism_audit(m + noise[:half], noise[half:], claim.delta, CONFIDENCE)
    note = f"lower bound at {100 * CONFIDENCE:g} % confidence; above epsilon it refutes it"
    return {"audited_epsilon": Value(value=result.lower_epsilon, n=result.draws, note=note)}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().flatten().cpu().numpy()

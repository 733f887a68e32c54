"""Certifying a property before and after a request, and under release noise."""

from __future__ import annotations

import torch

from benchmark.contract.request import Release, State
from benchmark.errors import LetheError
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.properties.finding import Finding, Kept
from benchmark.properties.property import Property
from benchmark.runner.workbench import Workbench

#: Draws of the release noise in which it is counted how often the property stays in place.
DRAWS = 1000


def became_of(
    declared: Property | None, bench: Workbench, original: State, release: Release
) -> Kept | None:
    """Findings for the record; None where no property is declared.

    Args:
        declared: the property.
        bench: the shared side.
        original: that was unlearned from.
        release: of the last request.

    Raises:
        LetheError: if what was published is not the projection of the noised weights.
    """
    if declared is None:
        return None
    problem = bench.after
    _check_projection(problem, release)
    retrained = _published(problem, bench.reference[0])
    return Kept(
        name=declared.name,
        declared=declared.model_dump(mode="json"),
        enforce=declared.enforce,
        before=declared.timed(_published(problem, original.weights), problem),
        after=declared.timed(release.predictor, problem),
        retrained=_of_retrained(declared, bench, problem, retrained),
        **_noise(declared, problem, release, bench),
        lost=_lost(declared, problem, retrained, release.predictor),
    )


def _check_projection(problem: Problem, release: Release) -> None:
    """Check that what was published is the projection of the weights that audits look at.

    Raises:
        LetheError: if it is not.
    """
    within = problem.released_within
    if within is None:
        return
    if release.unprojected is None:
        raise LetheError("a release is not projected: publish it by request.release")
    weights = release.predictor.weights
    if not torch.equal(within.project(release.unprojected).reshape(weights.shape), weights):
        raise LetheError("what was published is not the projection of the noised weights")


def _published(problem: Problem, weights: torch.Tensor) -> Predictor:
    """The model as it would be released: projected, where releases are."""
    within = problem.released_within
    return Predictor(problem.model, weights if within is None else within.project(weights))


def _of_retrained(
    declared: Property, bench: Workbench, problem: Problem, retrained: Predictor
) -> Finding:
    """The finding of the shared retrained model, which is certified once."""
    if bench.retrained_finding is None:
        bench.retrained_finding = declared.timed(retrained, problem)
    return bench.retrained_finding


def _noise(declared: Property, problem: Problem, release: Release, bench: Workbench) -> dict:
    """Survival under the release noise without projection: predicted, and counted."""
    sigma = release.claim.release_sigma if release.claim is not None else 0.0
    if not sigma:
        return {}
    weights = release.state.weights
    predicted = declared.survival(weights, problem, sigma)
    within = declared.within(problem)
    if predicted is None or within is None:
        return {"sigma": sigma}
    draws = bench.evaluation_generator("noise on a property")
    noise = torch.randn(DRAWS, len(weights), generator=draws, dtype=torch.float64)
    noised = weights.double().cpu() + sigma * noise
    kept = (within.project(noised) == noised).all(dim=1)
    return {
        "sigma": sigma,
        "survival": predicted,
        "survived": float(kept.double().mean()),
        "draws": DRAWS,
    }


def _lost(
    declared: Property, problem: Problem, retrained: Predictor, released: Predictor
) -> int | None:
    """Number of test rows that have it with the retrained model and not with the release."""
    ours, theirs = declared.rows(released, problem), declared.rows(retrained, problem)
    return None if ours is None or theirs is None else int((theirs & ~ours).sum())

"""Looking at what a claim rests on."""

from __future__ import annotations

from benchmark.contract.request import Release


def numbers(release: Release) -> dict[str, float]:
    """Every constant of the claim and every number measured for it, by its name."""
    evidence = release.claim.evidence
    return {c.name: c.value for c in (*evidence.constants, *getattr(evidence, "measured", ()))}


def bounds(release: Release) -> dict[str, float]:
    """Every bound on the distance of a release, by the id of its statement."""
    evidence = release.claim.evidence
    others = {other.theorem: other.value for other in evidence.alternatives}
    return others | {evidence.theorem: evidence.reached}

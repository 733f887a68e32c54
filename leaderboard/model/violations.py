"""What was measured of a release that its claim rules out."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.audit.published_noise import SUSPICIOUS
from benchmark.contract.claim import Claim
from benchmark.records import Record
from leaderboard.model.numbers import number


def violations(record: Record) -> list[str]:
    """Every violation of a record's claim, in words; none without a claim."""
    return [] if record.claim is None else list(_found(record, record.claim))


def _found(record: Record, claim: Claim) -> Iterator[str]:
    slack = _metric(record, "slack")
    if slack is not None and slack < 1:
        yield f"the slack is {number(slack)}, below 1"
    distance = _metric(record, "distance")
    if distance is not None and claim.bound is not None and distance > claim.bound:
        yield f"the distance is {number(distance)}, beyond the bound {number(claim.bound)}"
    audited = _metric(record, "audited_epsilon")
    if audited is not None and audited > claim.epsilon:
        yield f"ε is at least {number(audited)}, above the certified {number(claim.epsilon)}"
    p = _metric(record, "noise_p")
    if p is not None and p < SUSPICIOUS:
        yield f"published noise: {record.metrics['noise_p'].note}"


def _metric(record: Record, name: str) -> float | None:
    value = record.metrics.get(name)
    return None if value is None else value.value

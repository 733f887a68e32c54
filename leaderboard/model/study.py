"""The experiments of a group, and their records as points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.contract.claim import Distance
from benchmark.errors import present
from benchmark.facts import Facts
from benchmark.records import Record
from leaderboard.model.table import Row, Table

#: The statement that needs no convexity, by its id.
GENERAL = "thm4"

#: Groups of experiments that vary one setting of a problem, each with an answer of its own.
NONCONVERGENCE, ABLATION, BUDGET, BIASED = "nonconvergence", "ablation", "budget", "biased"
SCALE, PROPERTIES = "scale", "properties"
#: Those whose experiments are no further problems. Requests that are not random make some.
SWEEPS = frozenset({NONCONVERGENCE, ABLATION, BUDGET, SCALE, PROPERTIES})
#: The group of experiments in the paper's own setting.
PAPER = "paper"


@dataclass(frozen=True)
class Point:
    """One seed of a row: where training and method were set, and what came out.

    Attributes:
        setting: the value of what is varied.
        series: what the point is drawn as.
        bounds: on the distance to the retrained weights: `certified`, and `GENERAL` if evaluated.
        distance: measured; None where there is none, as for the residual and the gap.
        residual: of the method's linear solve.
        gap: of test accuracy, points.
    """

    setting: float
    series: str
    epsilon: float
    bounds: dict[str, float]
    distance: float | None
    residual: float | None
    gap: float | None


def tables_of(tables: list[Table], group: str) -> list[Table]:
    """Tables of a group's experiments, without what is for trying things out.

    An experiment whose plan has no facts is in no group.
    """
    return [t for t in tables if t.facts and group in t.facts.group and not t.facts.trial]


def varies(facts: Facts) -> bool:
    """Whether it is one problem again and again: of a group above, or a sweep over a graph."""
    return bool(SWEEPS & set(facts.group)) or (facts.graph and facts.varies)


def without_variations(tables: list[Table]) -> list[Table]:
    """A table for each problem."""
    known = [(table, table.facts) for table in tables]
    return [t for t, facts in known if not facts or not (varies(facts) or BIASED in facts.group)]


def studies(tables: Iterable[Table]) -> list[str]:
    """Names of the studies that the tables' experiments are of, in order."""
    return list(dict.fromkeys(table.facts.study for table in tables if table.facts))


def by_device(tables: list[Table]) -> dict[str, list[Table]]:
    """What may share a plot."""
    return {d: [t for t in tables if t.device == d] for d in sorted({t.device for t in tables})}


def constant(record: Record, name: str) -> float | None:
    """The value of a constant of the record's claim, published or measured."""
    if record.claim is None:
        return None
    measured = getattr(record.claim.evidence, "measured", ())
    return next((c.value for c in (*record.claim.constants, *measured) if c.name == name), None)


def bounded(row: Row) -> list[Record]:
    """The records of a row that claim a distance."""
    return [r for r in row.done.values() if r.claim and isinstance(r.claim.evidence, Distance)]


def claimed(record: Record) -> Distance:
    """The evidence of a record that claims a distance."""
    return present(record.claim).distance


def bounds(record: Record) -> dict[str, float]:
    """The bound that the noise is made for, and `GENERAL`'s where it was evaluated."""
    evidence = claimed(record)
    found = {other.theorem: other.value for other in evidence.alternatives}
    found[evidence.theorem] = evidence.reached
    general = {GENERAL: found[GENERAL]} if GENERAL in found else {}
    return {"certified": evidence.bound} | general


def point(record: Record, setting: float, series: str) -> Point:
    """A record that claims a distance as a point."""

    def metric(name: str) -> float | None:
        value = record.metrics.get(name)
        return None if value is None else value.value

    return Point(
        setting=setting,
        series=series,
        epsilon=present(record.claim).epsilon,
        bounds=bounds(record),
        distance=metric("distance"),
        residual=constant(record, "residual"),
        gap=metric("accuracy_test_gap"),
    )

"""The experiments of one study, which are named after its file, and their records as points."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.contract.claim import Distance
from benchmark.records import Record
from leaderboard.table import Row, Table

#: The statement that needs no convexity, by its id.
GENERAL = "thm4"

#: Studies that vary one setting of a problem, each with an answer of its own.
NONCONVERGENCE = "mnist-nonconvergence"
ABLATION = "mnist-ablation"
#: What the problems of the budgets' experiments are called, in the order of the answer.
BUDGETS = {
    "digits-budget": "Digits, MLP",
    "mnist-budget": "MNIST, MLP",
    "cifar10-budget": "CIFAR-10, MLP on HOG",
}
#: Studies of requests that are not random, by the experiment of random ones on the same problem.
BIASED = {"digits-softmax": "digits-softmax-biased", "mnist-hog": "mnist-hog-biased"}

_SMOKE = "-smoke"


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


def tables_of(tables: list[Table], study: str) -> list[Table]:
    """Those of the study's profiles, without the one for trying things out."""
    return [table for table in _of(tables, study) if not table.experiment.endswith(_SMOKE)]


def without_variations(tables: list[Table]) -> list[Table]:
    """A table for each problem: those of the studies above are one problem again and again."""
    studies = (NONCONVERGENCE, ABLATION, *BUDGETS, *BIASED.values())
    varied = {table.slug for study in studies for table in _of(tables, study)}
    return [table for table in tables if table.slug not in varied]


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
    claimed = [record for record in row.done.values() if record.claim]
    return [record for record in claimed if isinstance(record.claim.evidence, Distance)]


def bounds(record: Record) -> dict[str, float]:
    """The bound that the noise is made for, and `GENERAL`'s where it was evaluated."""
    evidence = record.claim.evidence
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
        epsilon=record.claim.epsilon,
        bounds=bounds(record),
        distance=metric("distance"),
        residual=constant(record, "residual"),
        gap=metric("accuracy_test_gap"),
    )


def _of(tables: list[Table], study: str) -> list[Table]:
    return [table for table in tables if f"{table.experiment}-".startswith(f"{study}-")]

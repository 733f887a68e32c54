"""The order of rows, and which of them is best in a column."""

from __future__ import annotations

import math
from typing import Literal

from benchmark.contract.claim import VERDICTS, Claim, Verdict
from leaderboard.model.columns import COLUMNS, TEST_GAP, Column
from leaderboard.model.interval import arithmetic
from leaderboard.model.table import Row, Table

Mark = Literal["best", "tied", ""]

#: Yardsticks, in the order they stand in.
YARDSTICKS = ("reference", "floor", "ceiling")
#: Verdicts on a statement about unlearning that says something.
STATEMENTS: tuple[Verdict, ...] = ("exact", "proved", "conditional")
#: Points of test accuracy, or of R², that a useful row may lose against retraining.
LOSS = 1.0
#: An m found by bisection ends a little off its target, on the safe side.
_ROUND_OFF = 1e-6


def keeps(claim: Claim, epsilon: float, delta: float) -> bool:
    """Whether the claim is as strong as was asked for, or stronger."""
    room = 1 + _ROUND_OFF
    return claim.epsilon <= epsilon * room and claim.delta <= delta * room


def yardsticks(table: Table) -> list[Row]:
    """Reference, floor and ceiling."""
    rows = [row for row in table.rows if row.role in YARDSTICKS]
    return sorted(rows, key=lambda row: (YARDSTICKS.index(row.role), row.label))


def entries(table: Table) -> list[Row]:
    """The entries: rows with numbers first, then by verdict, mean |test gap| and label."""
    rows = [row for row in table.rows if row.role == "entry"]
    return sorted(
        rows,
        key=lambda row: (bool(row.void), VERDICTS.index(row.verdict), _test_gap(row), row.label),
    )


def in_order(table: Table) -> list[Row]:
    """Every row: yardsticks first, then entries."""
    return yardsticks(table) + entries(table)


def marks(table: Table) -> dict[tuple[str, str], Mark]:
    """By column key and label: which entries are best in which column, or tied with the best."""
    found: dict[tuple[str, str], Mark] = {}
    for column in (*COLUMNS, TEST_GAP):
        losses = {row.label: _losses(row, column) for row in entries(table)}
        losses = {label: loss for label, loss in losses.items() if loss is not None}
        if len(losses) < 2:  # the best of one is no finding
            continue
        best = min(losses, key=lambda label: (arithmetic(list(losses[label].values())).mean, label))
        for label, loss in losses.items():
            if label == best:
                found[column.key, label] = "best"
            elif _tied(loss, losses[best]):
                found[column.key, label] = "tied"
    return found


def _test_gap(row: Row) -> float:
    gaps = row.values(TEST_GAP).values()
    return sum(map(abs, gaps)) / len(gaps) if gaps else math.inf


def _losses(row: Row, column: Column) -> dict[int, float] | None:
    """Per seed a number that is the lower the better; None if the row cannot be best here.

    A row with fewer seeds than planned cannot: the seeds it lacks may be the hard ones.
    """
    entries = row.read(column)
    if len(row.values(column)) < len(row.cells) or not entries:
        return None
    if column.bound and (row.verdict not in STATEMENTS or row.violations):
        return None
    direction = next(iter(entries.values())).direction
    if direction == "none":
        return None
    values = row.values(column)
    if column.ratio:
        values = {seed: math.log(value) for seed, value in values.items()}
    loss = {"higher": lambda x: -x, "lower": lambda x: x, "zero": abs}[direction]
    return {seed: loss(value) for seed, value in values.items()}


def _tied(loss: dict[int, float], best: dict[int, float]) -> bool:
    """Whether the t interval of the per-seed differences holds 0; one seed ties only if equal."""
    difference = arithmetic([loss[seed] - best[seed] for seed in best])
    return abs(difference.mean) <= (difference.spread or 0)

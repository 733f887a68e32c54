"""The order of rows, which is best in a column, and which no other row is better than."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmark.contract.claim import VERDICTS, Claim, Verdict
from leaderboard.model.columns import BY_KEY, COLUMNS, TEST_GAP, Column
from leaderboard.model.numbers import arithmetic
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
        known = ((row.label, _losses(row, column)) for row in entries(table))
        losses = {label: loss for label, loss in known if loss is not None}
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


# Which certified rows of a problem no other row is better than: the Pareto front.

# of a gap in points: accuracies are shares of whole rows, what differs beyond is round-off
_DIGITS = 6


@dataclass(frozen=True)
class Offer:
    """A certified row as its guarantee and what that costs, means over seeds.

    Attributes:
        row: of the table.
        definition: what the guarantee is against.
        epsilon, delta: certified, the largest over seeds; of a stream of all its releases together.
        lost: test accuracy, or R², of the retrained model less the row's, points.
        time: to unlearn over that to retrain.
        competes: whether it may be on the front: not vacuous, nor about this pair only, nor
            violated, nor short of seeds that another certified row of the table has.
    """

    row: Row
    definition: str
    epsilon: float
    delta: float
    lost: float
    time: float
    competes: bool

    def as_strong_as(self, other: Offer) -> bool:
        """Whether the guarantee implies the other's: what is exact keeps every definition."""
        if self.row.verdict == "exact":
            return True
        return (
            self.definition == other.definition
            and VERDICTS.index(self.row.verdict) <= VERDICTS.index(other.row.verdict)
            and self.epsilon <= other.epsilon
            and self.delta <= other.delta
        )

    def dominates(self, other: Offer) -> bool:
        """Whether it is no worse in anything, and better in something."""
        no_worse = self.as_strong_as(other) and self.lost <= other.lost and self.time <= other.time
        better = self.lost < other.lost or self.time < other.time or not other.as_strong_as(self)
        return no_worse and better


def offers(table: Table) -> list[Offer]:
    """Retraining, and every certified entry that was timed and scored."""
    rows = [row for row in yardsticks(table) if row.role == "reference"] + entries(table)
    certified = [row for row in rows if row.claims]
    most = max((len(row.done) for row in certified), default=0)
    found = (_offer(row, whole=len(row.done) == most) for row in certified)
    return [offer for offer in found if offer is not None]


def front(found: Sequence[Offer]) -> list[Offer]:
    """Offers that compete and that no competing one dominates."""
    competing = [offer for offer in found if offer.competes]
    return [o for o in competing if not any(other.dominates(o) for other in competing)]


def _offer(row: Row, *, whole: bool) -> Offer | None:
    gap, speed = row.estimate(TEST_GAP), row.estimate(BY_KEY["speedup"])
    epsilon = _epsilon(row)
    if gap is None or speed is None or epsilon is None:
        return None
    return Offer(
        row=row,
        definition=", ".join(row.definitions),
        epsilon=epsilon,
        delta=max(claim.delta for claim in row.claims),
        lost=-round(gap.mean, _DIGITS) or 0.0,
        time=1 / speed.mean,
        competes=whole and row.verdict in STATEMENTS and not row.violations,
    )


def _epsilon(row: Row) -> float | None:
    """The largest over seeds, of a stream's releases together; None where they do not compose."""
    streams = [record.stream for record in row.done.values() if record.stream]
    composed = [stream[-1].composed_epsilon for stream in streams]
    known = [epsilon for epsilon in composed if epsilon is not None]
    if len(known) < len(composed):
        return None
    return max(known or [claim.epsilon for claim in row.claims])

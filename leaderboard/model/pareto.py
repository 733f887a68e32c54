"""Which certified rows of a problem no other row is better than: the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.contract.claim import VERDICTS
from leaderboard.model.columns import BY_KEY, TEST_GAP
from leaderboard.model.ranking import STATEMENTS, entries, yardsticks
from leaderboard.model.table import Row, Table

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
    if None in composed:
        return None
    return max(composed or [claim.epsilon for claim in row.claims])

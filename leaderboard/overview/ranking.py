"""The order of methods in a track: by speed, over problems that two of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.contract.claim import VERDICTS, Verdict
from benchmark.errors import present
from leaderboard.model.interval import Estimate, arithmetic, geometric
from leaderboard.model.ranking import LOSS
from leaderboard.overview.row import OverviewRow, first_of
from leaderboard.overview.track import Track

RULE = (
    f"Ranked are rows that are proved or exact, lose at most {LOSS:g} point of test accuracy and "
    "beat their controls, such as the same noise from zero weights. A method's rank is one more "
    "than the number of ranked methods that are faster. Two methods are compared on the problems "
    "that both have, and one is faster if the 95 % interval of the ratio excludes 1."
)


@dataclass(frozen=True, eq=False)
class Standing:
    """A method in a track.

    Attributes:
        rows: of all its problems, the fastest first.
        rank: 1 for the fastest; None if no row of it is ranked.
        tied: whether another method has the same rank.
        problems: how many the track has.
    """

    track: Track
    label: str
    rows: tuple[OverviewRow, ...]
    rank: int | None
    tied: bool
    problems: int

    @property
    def title(self) -> str:
        return first_of(self.rows).row.title

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return f"{self.track.slug}/{self.label}"

    @cached_property
    def ranked(self) -> tuple[OverviewRow, ...]:
        """The rows that count in the ranking."""
        return tuple(row for row in self.rows if row.ranked)

    @property
    def verdict(self) -> Verdict:
        """The weakest of its rows that have a number."""
        return weakest(self.rows)

    @property
    def coverage(self) -> int:
        """On how many problems it counts in the ranking."""
        return len(self.ranked)


def weakest(rows: Sequence[OverviewRow]) -> Verdict:
    """The weakest verdict of some rows, of those with a number."""
    return max((r.row.verdict for r in rows if not r.row.void), key=VERDICTS.index, default="none")


def speedup(rows: Sequence[OverviewRow], *, alone: bool = False) -> Estimate | None:
    """The geometric mean of the rows' speed-ups, each problem once; one row keeps its interval.

    Args:
        rows: of one method.
        alone: of a single request, which bears all that was done once before it.
    """
    found = [row.alone if alone else row.speedup for row in rows]
    known = [one for one in found if one is not None]
    if len(known) < 2:
        return known[0] if known else None
    return Estimate(geometric([one.mean for one in known]).mean, None, len(known))


def worst_gap(rows: Sequence[OverviewRow]) -> float | None:
    """The least of the rows' mean test gaps, points."""
    return min((row.gap.mean for row in rows if row.gap is not None), default=None)


def standings(rows: Sequence[OverviewRow]) -> list[Standing]:
    """Every method of every track: ranked ones first, then by verdict, loss and label."""
    found: dict[Track, dict[str, list[OverviewRow]]] = {}
    for row in rows:
        found.setdefault(row.track, {}).setdefault(row.row.label, []).append(row)
    return [
        standing
        for track in sorted(found, key=lambda track: track.order)
        for standing in _of_track(track, found[track])
    ]


def _of_track(track: Track, methods: dict[str, list[OverviewRow]]) -> list[Standing]:
    problems = len({row.table.slug for rows in methods.values() for row in rows})
    contest = {
        label: counted
        for label, rows in methods.items()
        if (counted := [row for row in rows if row.ranked])
    }
    ranks = {
        label: 1 + sum(faster(other, rows) for key, other in contest.items() if key != label)
        for label, rows in contest.items()
    }
    found = [
        Standing(
            track=track,
            label=label,
            rows=tuple(sorted(rows, key=_speed)),
            rank=ranks.get(label),
            tied=label in ranks and list(ranks.values()).count(ranks[label]) > 1,
            problems=problems,
        )
        for label, rows in methods.items()
    ]
    return sorted(found, key=_order)


def faster(rows: Sequence[OverviewRow], others: Sequence[OverviewRow]) -> bool:
    """Whether one method is faster than another over the problems that both have.

    The t interval of the differences of log speed-up, seed by seed and problem by problem, must
    lie above 0. One pair of seeds has no interval and decides nothing.
    """
    theirs = {row.table.slug: row.values("speedup") for row in others}
    differences = [
        math.log(value / theirs[row.table.slug][seed])
        for row in rows
        if row.table.slug in theirs
        for seed, value in row.values("speedup").items()
        if seed in theirs[row.table.slug]
    ]
    if len(differences) < 2:
        return False
    found = arithmetic(differences)
    return found.mean > present(found.spread)


def _speed(row: OverviewRow) -> tuple[bool, float, str]:
    """Ranked rows first, the fastest before the others."""
    return not row.ranked, -(row.speedup.mean if row.speedup else 0.0), row.table.slug


def _order(standing: Standing) -> tuple:
    if standing.rank is not None:
        return 0, standing.rank, -present(speedup(standing.ranked)).mean, standing.label
    lost = worst_gap(standing.rows)
    place = VERDICTS.index(standing.verdict)
    return 1, place, math.inf if lost is None else -lost, standing.label

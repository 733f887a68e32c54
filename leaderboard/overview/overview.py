"""The overview of a results folder's tables, and the order of methods in a track."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.contract.claim import VERDICTS, Verdict
from benchmark.errors import present
from benchmark.studies.quality_record import QualityRecord, judge, own
from benchmark.studies.quality_record import Verdict as QualityVerdict
from leaderboard.model.numbers import Estimate, arithmetic, geometric, request_in_words
from leaderboard.model.ranking import LOSS, entries
from leaderboard.model.table import Row, Table
from leaderboard.overview.row import OverviewRow, Track, first_of, is_problem, one_a_graph, track

# The order of methods in a track: by speed, over problems that two of them share.

RULE = (
    f"Ranked are rows that are proved or exact, lose at most {LOSS:g} point of test accuracy "
    "(where a number is predicted: of R²) and beat their controls, such as the same noise from "
    "zero weights. A method's rank is one more than the number of ranked methods that are faster. "
    "Two methods are compared on the problems that both have, and one is faster if the 95 % "
    "interval of the ratio excludes 1."
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


# The overview of a results folder's tables.


@dataclass(frozen=True, eq=False)
class Overview:
    """Every entry of every problem.

    Attributes:
        rows: in the order of the standings.
        standings: of each method in each track, in order.
    """

    rows: tuple[OverviewRow, ...]
    standings: tuple[Standing, ...]

    @cached_property
    def tracks(self) -> tuple[Track, ...]:
        return tuple(dict.fromkeys(standing.track for standing in self.standings))

    def of_track(self, track: Track) -> list[Standing]:
        """The methods of a track, in order."""
        return [standing for standing in self.standings if standing.track == track]

    def problems(self, track: Track | None = None) -> list[Table]:
        """The tables of a track, or all, in the order of the rows."""
        tables = {
            row.table.slug: row.table for row in self.rows if track is None or row.track == track
        }
        return list(tables.values())

    def fastest(self, table: Table) -> OverviewRow | None:
        """The fastest ranked row of a problem; None if none is ranked."""
        rows = [row for row in self.rows if row.table.slug == table.slug and row.ranked]
        return max(rows, key=lambda row: present(row.speedup).mean, default=None)


def overview(tables: Iterable[Table], quality: Sequence[QualityRecord] = ()) -> Overview:
    """The overview of some tables. Trials are in it only where there is nothing else.

    Args:
        tables: of a results folder.
        quality: its forget-quality records.
    """
    tables = list(tables)
    problems = one_a_graph([table for table in tables if is_problem(table)])
    problems = [table for table in problems if not table.known.trial] or problems
    verdicts, qualifiers = _Verdicts(quality), _qualifiers(problems)
    rows = [
        OverviewRow(table, row, *verdicts.of(table, row), qualifiers[table.slug])
        for table in problems
        for row in entries(table)
    ]
    found = standings(rows)
    return Overview(
        rows=tuple(row for standing in found for row in standing.rows),
        standings=tuple(found),
    )


def _qualifiers(tables: Iterable[Table]) -> dict[str, str]:
    """By slug, what tells a problem from others that are called the same; "" where none are."""
    alike: dict[tuple, list[Table]] = defaultdict(list)
    for table in tables:
        facts = table.known
        alike[facts.problem, table.device, track(facts), request_in_words(facts)].append(table)
    return {
        table.slug: name
        for members in alike.values()
        for table, name in zip(members, _names(members), strict=True)
    }


def _names(tables: Sequence[Table]) -> list[str]:
    """The first fact that is another for each table."""
    if len(tables) == 1:
        return [""]
    facts = [table.known for table in tables]
    for names in ([f.features for f in facts], [f.profile or f.study for f in facts]):
        if len(set(names)) == len(names):
            return [name.replace("-", " ") for name in names]
    return [table.experiment for table in tables]


class _Verdicts:
    """What forget quality says of rows, by experiment, label and device."""

    def __init__(self, records: Sequence[QualityRecord]) -> None:
        self._records: dict[tuple[str, str, str], list[QualityRecord]] = defaultdict(list)
        for record in records:
            if record.status == "ok":
                place = record.experiment, record.method.label, record.environment.device
                self._records[place].append(record)

    def of(self, table: Table, row: Row) -> tuple[QualityVerdict | None, tuple[str, ...]]:
        """The verdict on a row and the tests that tell it; of other parameters, none."""
        place = table.experiment, row.label, table.device.split(" ")[0]
        records = self._records.get(place, [])
        if not records or not row.found:
            return None, ()
        params = row.found[0].method.params
        if any(record.method.params != params for record in records):
            return None, ()
        kind, told = judge({record.seeds.split: record.scores for record in records}, own)
        return kind, tuple(told)

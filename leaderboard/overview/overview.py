"""The overview of a results folder's tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmark.errors import present
from benchmark.studies.quality_record import QualityRecord, Verdict
from benchmark.studies.quality_verdict import judge, own
from leaderboard.model.ranking import entries
from leaderboard.model.requests import request_in_words
from leaderboard.model.table import Row, Table
from leaderboard.overview.ranking import Standing, standings
from leaderboard.overview.row import OverviewRow
from leaderboard.overview.track import Track, is_problem, one_a_graph, track


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

    def of(self, table: Table, row: Row) -> tuple[Verdict | None, tuple[str, ...]]:
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

"""Which proved rows are told apart from retraining all the same?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from benchmark.contract.seeds import Seeds
from benchmark.metrics.statistics import LEVEL
from benchmark.studies.quality_record import QualityRecord, own, told
from leaderboard.answers.answer import Answer, counted, guaranteed, problem, unanswered
from leaderboard.answers.attacks import mean_score
from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.table import Evidence, Row, Table

ORDER = 110
SLUG = "answer-told"
QUESTION = "Which proved rows are told apart from retraining all the same?"
COMMAND = "make forget-quality RESULTS=leaderboard/results"

_GAP = "strongest_gap"
#: Floors this close to one another, as a share, come from the same draws.
_ALIKE = 0.1
_COLUMNS = ("verdict", "ε", "told apart by", "best-known gap", "its floor", "seeds × models")


@dataclass(frozen=True)
class Judged:
    """A proved row and its forget-quality records, by seed."""

    table: Table
    row: Row
    records: list[QualityRecord]

    @property
    def name(self) -> str:
        return f"{problem(self.table)}: {self.row.title}"

    @property
    def current(self) -> bool:
        """Whether it was attacked with the parameters that the row has."""
        params = self.row.found[0].method.params
        return all(record.method.params == params for record in self.records)

    @property
    def told(self) -> list[str]:
        """The tests that tell it from retraining, by their words."""
        return told({record.seeds.split: record.scores for record in self.records}, own)

    @property
    def floors(self) -> dict[Seeds, float | None]:
        """By seeds, the gap that a second retraining has."""
        return {r.seeds: r.scores[_GAP].floor for r in self.records if _GAP in r.scores}


def answer(evidence: Evidence) -> Answer:
    """Every proved row that was attacked as it is, and who of them is told apart."""
    found = _rows(evidence)
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(_points(found)),
        lines="Row",
        grid=grid(_COLUMNS, [_line(judged) for judged in found]),
    )


def _rows(evidence: Evidence) -> list[Judged]:
    """In the order of the tables."""
    records: dict[tuple[str, str, str], list[QualityRecord]] = defaultdict(list)
    for record in evidence.quality:
        if record.status == "ok":
            place = record.experiment, record.method.label, record.environment.device
            records[place].append(record)
    places = [
        (table, row, (table.experiment, row.label, table.device.split(" ")[0]))
        for table in evidence.tables
        for row in entries(table)
        if guaranteed(row)
    ]
    found = [Judged(table, row, records[key]) for table, row, key in places if key in records]
    return [judged for judged in found if judged.current]


def _points(found: list[Judged]) -> Iterator[str]:
    """Every row that is told apart, and what that does not show."""
    apart = [judged for judged in found if judged.told]
    yield from (f"Told apart: {_described(judged)}." for judged in apart)
    permitted = [c.epsilon for judged in apart for c in judged.row.claims if c.epsilon > 0]
    if permitted:
        yield (
            f"A claim with ε = {span(permitted)} permits some separation, so this does not refute "
            "it."
        )
    if alike := _sharing(apart):
        yield (
            f"{alike} of them ran with the same seeds and have floors within "
            f"{100 * _ALIKE:.0f} % of another's at every seed. They share their noise draws, and "
            "are not independent findings."
        )


def _sharing(apart: list[Judged]) -> int:
    """Number of rows that share their noise draws with another one."""
    return len({j.name for pair in combinations(apart, 2) if _alike(*pair) for j in pair})


def _short(found: list[Judged]) -> str:
    apart = [judged for judged in found if judged.told]
    alike = _sharing(apart)
    shared = f", {alike} of which share their noise draws" if alike else ""
    return (
        f"An attack tells {len(apart)} of {counted(len(found), 'proved or exact row')} apart from "
        f"retraining{shared}; chance alone would give about {number((1 - LEVEL) * len(found))}."
    )


def _described(judged: Judged) -> str:
    gap, floor = (mean_score(judged.records, _GAP, part) for part in ("value", "floor"))
    return f"{judged.name}, by {', '.join(judged.told)} (best-known gap {gap}, floor {floor})"


def _alike(one: Judged, other: Judged) -> bool:
    """Whether two rows of a problem have about the same floor, seed by seed."""
    if one.table.slug != other.table.slug or one.floors.keys() != other.floors.keys():
        return False
    pairs = [(floor, other.floors[seed]) for seed, floor in one.floors.items()]
    return all(a and b and abs(a - b) <= _ALIKE * max(a, b) for a, b in pairs)


def _line(judged: Judged) -> Line:
    records = judged.records
    runs = sorted({record.runs for record in records})
    return Line(
        judged.name,
        "",
        (
            Cell(judged.row.verdict),
            Cell(span([claim.epsilon for claim in judged.row.claims])),
            Cell(", ".join(judged.told) or "none"),
            Cell(mean_score(records, _GAP, "value")),
            Cell(mean_score(records, _GAP, "floor")),
            Cell(f"{len(records)} × {' or '.join(map(str, runs))}"),
        ),
    )

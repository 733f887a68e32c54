"""What if requests are not random?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    mean,
    problem,
    seeds,
    unanswered,
    verdict,
)
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import span
from leaderboard.model.ranking import STATEMENTS, entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import BIASED, Evidence, Row, Table, bounded, studies, tables_of

ORDER = 50
SLUG = "answer-biased"
QUESTION = "What if requests are not random?"
COMMAND = "make biased RESULTS=leaderboard/results"

_COLUMNS = (
    "verdict",
    "steps",
    "steps, random rows",
    "seeds with steps beyond its own",
    "time (s)",
    "slack",
    "test gap (points)",
    "noise cost (points)",
    "seeds",
)
_FURTHER = BY_KEY["further_steps"]


@dataclass(frozen=True)
class Biased:
    """A row that claims a distance, on requests that are not random.

    Attributes:
        table: of the requests.
        row: of the table.
        random: the same row where the rows to forget are random; None if there is none.
    """

    table: Table
    row: Row
    random: Row | None

    @property
    def further(self) -> list[bool]:
        """Whether the answer took steps beyond the method's own, seed by seed."""
        return [steps > 0 for steps in self.row.values(_FURTHER).values()]


def answer(evidence: Evidence) -> Answer:
    """Every row that claims a distance, study by study and request by request."""
    tables = tables_of(evidence.tables, BIASED)
    found = [biased for table in tables for biased in _rows(table, evidence.tables)]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    there = studies(biased.table for biased in found)
    absent = [name for name in studies(tables) if name not in there]
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(_points(found)),
        missing=f"No record of {'; '.join(absent)}." if absent else "",
        command=COMMAND if absent else "",
        lines="Row",
        grid=grid(_COLUMNS, [_line(biased) for biased in found]),
    )


def _rows(table: Table, tables: list[Table]) -> Iterator[Biased]:
    """The table's rows that claim a distance, each with the same row on random requests."""
    beside = [other for other in tables if _is_random(other, table)]
    random = {row.label: row for other in reversed(beside) for row in entries(other)}
    for row in entries(table):
        if bounded(row) or any(record.method.certifies for record in row.failed.values()):
            yield Biased(table, row, random.get(row.label))


def _is_random(other: Table, table: Table) -> bool:
    """Whether `other` has one request of random rows on the table's problem, as its file stands."""
    theirs, ours = other.facts, table.facts
    if theirs is None or ours is None or other.device != table.device:
        return False
    plain = theirs.scenario == "random" and theirs.requests == 1
    return plain and not theirs.varies and not theirs.trial and theirs.same_problem(ours)


def _points(found: list[Biased]) -> Iterator[str]:
    """What rows with a claim about unlearning do under these requests, and who broke down."""
    kinds = counted(len({biased.table.slug for biased in found}), "kind")
    yield f"The requests are of {kinds}, and none is of random rows."
    if says := [biased for biased in found if biased.row.verdict in STATEMENTS]:
        yield from _claimed(says)
    if pairs := [biased.row for biased in found if biased.row.verdict == "pair"]:
        yield (
            f"The yardsticks ({counted(len(pairs), 'row')}) stop after their own step and fit the "
            "noise to the distance that is left. Their test gap is "
            f"{_range(pairs, 'accuracy_test_gap')} points."
        )
    if refused := [biased for biased in found if biased.row.failed]:
        named = "; ".join(f"{problem(b.table)}: {b.row.title}" for b in refused)
        yield f"Without an answer on at least one seed: {named}."


def _claimed(found: list[Biased]) -> Iterator[str]:
    rows = [biased.row for biased in found]
    further = [went for biased in found for went in biased.further]
    violated = sum(bool(row.violations) for row in rows)
    yield (
        f"{counted(len(rows), 'row')} with a claim about unlearning take "
        f"{_range(rows, 'steps_taken')} steps, and {sum(further)} of "
        f"{counted(len(further), 'cell')} go on beyond the method's own steps."
    )
    yield (
        f"Their bound is {_range(rows, 'slack')} times the measured distance. "
        + (f"{counted(violated, 'row')} are violated." if violated else "None is violated.")
    )
    yield (
        f"Their test gap is {_range(rows, 'accuracy_test_gap')} points, of which the noise costs "
        f"{_range(rows, 'noise_cost')} points."
    )


def _short(found: list[Biased]) -> str:
    says = [biased.row for biased in found if biased.row.verdict in STATEMENTS]
    pairs = [biased.row for biased in found if biased.row.verdict == "pair"]
    if not says:
        return "No row has a claim about unlearning under such requests."
    text = (
        f"{counted(len(says), 'row')} with a claim about unlearning have a test gap of "
        f"{_range(says, 'accuracy_test_gap')} points"
    )
    if not pairs:
        return f"{text}."
    gaps = _range(pairs, "accuracy_test_gap")
    return f"{text}; yardsticks that stop after their own step have one of {gaps} points."


def _range(rows: Iterable[Row], key: str) -> str:
    known = [value for row in rows if (value := mean(row, key)) is not None]
    return span(known) if known else NOTHING


def _line(biased: Biased) -> Line:
    row, further = biased.row, biased.further
    return Line(
        f"{problem(biased.table)}: {row.title}",
        "",
        (
            Cell(row.void or verdict(row)),
            cell(row, "steps_taken"),
            Cell(NOTHING) if biased.random is None else cell(biased.random, "steps_taken"),
            Cell(f"{sum(further)} of {len(further)}" if further else NOTHING),
            cell(row, "unlearn"),
            cell(row, "slack"),
            cell(row, "accuracy_test_gap"),
            cell(row, "noise_cost"),
            Cell(seeds([row])),
        ),
    )

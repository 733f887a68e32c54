"""How slack is the certificate?"""

from __future__ import annotations

from statistics import median

from benchmark.contract.certificate import Verdict
from leaderboard.answers.answer import (
    Answer,
    Evidence,
    counted,
    grid,
    mean,
    problem,
    seeds,
    unanswered,
)
from leaderboard.grid import Cell, Line
from leaderboard.numbers import number, span
from leaderboard.ranking import entries
from leaderboard.shown import NOTHING
from leaderboard.table import Row, Table

SLUG = "answer-slack"
QUESTION = "How slack is the certificate?"
COMMAND = "make mnist RESULTS=leaderboard/results"

_VERDICTS: tuple[Verdict, ...] = ("proved", "conditional", "vacuous")
_COLUMNS = (*(f"slack, {verdict}" for verdict in _VERDICTS), "realised ε, proved", "seeds")


def answer(evidence: Evidence) -> Answer:
    """Of each problem the range of bound over distance, verdict by verdict."""
    found = [(problem(table), rows) for table in evidence.problems if (rows := _rows(table))]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    inside = sum(_unmeasured(row) for table in evidence.problems for row in entries(table))
    return Answer(
        SLUG,
        QUESTION,
        text=_text([row for _, rows in found for row in rows]),
        missing=f"{counted(inside, 'row')} with the noise inside the algorithm have no distance "
        "that a bound could be held against."
        if inside
        else "",
        lines="Problem",
        grid=grid(_COLUMNS, [_line(name, rows) for name, rows in found]),
    )


def _rows(table: Table) -> list[Row]:
    """Certified entries with a measured distance."""
    return [
        row for row in entries(table) if row.verdict in _VERDICTS and mean(row, "slack") is not None
    ]


def _unmeasured(row: Row) -> bool:
    return any(c.noise == "inside" for c in row.certificates) and mean(row, "slack") is None


def _text(rows: list[Row]) -> str:
    parts = []
    for verdict in _VERDICTS:
        slacks = [mean(row, "slack") for row in rows if row.verdict == verdict]
        if slacks:
            parts.append(
                f"{verdict}: {span(slacks)} times the measured distance, with a median of "
                f"{number(median(slacks))} over {counted(len(slacks), 'row')}"
            )
    violated = sum(bool(row.violations) for row in rows)
    return (
        f"The certified bound is, {'; '.join(parts)}. "
        f"Violated: {counted(violated, 'row') if violated else 'none'}."
    )


def _line(name: str, rows: list[Row]) -> Line:
    by_verdict = [_span(rows, verdict, "slack") for verdict in _VERDICTS]
    realised = _span(rows, "proved", "realised_epsilon")
    return Line(name, "", tuple(map(Cell, (*by_verdict, realised, seeds(rows)))))


def _span(rows: list[Row], verdict: Verdict, key: str) -> str:
    values = [mean(row, key) for row in rows if row.verdict == verdict]
    values = [value for value in values if value is not None]
    return span(values) if values else NOTHING

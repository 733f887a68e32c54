"""How many requests until retraining is due?"""

from __future__ import annotations

from leaderboard.answers.answer import (
    Answer,
    Evidence,
    cell,
    counted,
    grid,
    mean,
    named,
    seeds,
    unanswered,
)
from leaderboard.answers.stream import releases
from leaderboard.grid import Cell, Line
from leaderboard.numbers import span
from leaderboard.table import Row

SLUG = "answer-capacity"
QUESTION = "How many requests until retraining is due?"
COMMAND = "make sequential RESULTS=leaderboard/results"

_COLUMNS = ("verdict", "capacity (requests)", "releases made", "test gap (points)", "seeds")


def answer(evidence: Evidence) -> Answer:
    """The deletion capacity of every row whose noise was fixed before the stream."""
    found = named(
        evidence.tables,
        lambda row: mean(row, "deletion_capacity") is not None and not row.violations,
    )
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    capacities = [mean(row, "deletion_capacity") for _, row in found]
    return Answer(
        SLUG,
        QUESTION,
        text=f"{counted(len(found), 'row')} fixed the noise before the first request; all releases "
        f"seen together keep the certified (ε, δ) for {span(capacities)} requests, then "
        "retraining is due. Beyond the releases made it is extrapolated. A row whose noise "
        "follows each request has no budget to use up: its ε grows with every release.",
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def _line(name: str, row: Row) -> Line:
    return Line(
        name,
        "",
        (
            Cell(row.verdict),
            cell(row, "deletion_capacity"),
            Cell(releases(row)),
            cell(row, "accuracy_test_gap"),
            Cell(seeds([row])),
        ),
    )

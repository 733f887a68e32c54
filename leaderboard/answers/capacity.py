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
from leaderboard.answers.stream import composed, releases
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
    return Answer(
        SLUG,
        QUESTION,
        text=_text([row for _, row in found]),
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def _text(rows: list[Row]) -> str:
    """The capacity, and that it is about the requests that came, as the composed ε is not."""
    capacities = [mean(row, "deletion_capacity") for row in rows]
    worst = [epsilon for row in rows for epsilon in composed(row)]
    parts = [
        f"{counted(len(rows), 'row')} fixed the noise before the first request; all releases "
        f"seen together keep the certified (ε, δ) for {span(capacities)} requests, then "
        "retraining is due.",
        "A count above 1 is instance-wise: it takes the distances bounded for the requests that "
        "came, and promises nothing for others.",
    ]
    if worst:
        parts.append(
            "If every request were as far off as the noise was made for, the worst case, the "
            f"releases made would have ε {span(worst)} together: the composed ε of the question "
            "above."
        )
    parts.append(
        "Beyond the releases made it is extrapolated. A row whose noise follows each request has "
        "no budget to use up: its ε grows with every release."
    )
    return " ".join(parts)


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

"""How many requests until retraining is due?"""

from __future__ import annotations

from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    mean,
    named,
    seeds,
    unanswered,
    verdict,
)
from leaderboard.answers.stream import releases
from leaderboard.model.evidence import Evidence
from leaderboard.model.ranking import STATEMENTS
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.table import Row

ORDER = 90
SLUG = "answer-capacity"
QUESTION = "How many requests until retraining is due?"
COMMAND = "make sequential RESULTS=leaderboard/results"

_COLUMNS = (
    "verdict",
    "capacity, worst case (requests)",
    "capacity, measured (requests)",
    "releases made",
    "test gap (points)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The deletion capacity of every row whose noise was fixed before the stream."""
    found = named(evidence.tables, _has_capacity)
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        text=_text([row for _, row in found]),
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def _has_capacity(row: Row) -> bool:
    """Whether its stream has one that means something."""
    says = row.verdict in STATEMENTS and not row.violations
    return says and mean(row, "deletion_capacity") is not None


def _text(rows: list[Row]) -> str:
    """Both capacities, and what either is about."""
    worst = [value for row in rows if (value := mean(row, "uniform_capacity")) is not None]
    measured = [mean(row, "deletion_capacity") for row in rows]
    parts = [f"{counted(len(rows), 'row')} fixed the noise before the first request."]
    if worst:
        parts.append(
            "If every request is as far off as the noise is made for, all releases seen together "
            f"keep the (ε, δ) that was asked for over {_requests(worst)}: the worst case, and what "
            "is proved."
        )
    parts.append(
        f"By the bounds proved for the requests that came it is {_requests(measured)}, "
        "extrapolated beyond the releases made: a measurement, which promises nothing for other "
        "requests. After that retraining is due."
    )
    return " ".join(parts)


def _requests(counts: list[float]) -> str:
    """E.g. `1 request`, `2 to 56 requests`."""
    low, high = (f"{value:,.0f}" for value in (min(counts), max(counts)))
    return (
        f"{low} request{'' if low == '1' else 's'}" if low == high else f"{low} to {high} requests"
    )


def _line(name: str, row: Row) -> Line:
    return Line(
        name,
        "",
        (
            Cell(verdict(row)),
            cell(row, "uniform_capacity"),
            cell(row, "deletion_capacity"),
            Cell(releases(row)),
            cell(row, "accuracy_test_gap"),
            Cell(seeds([row])),
        ),
    )

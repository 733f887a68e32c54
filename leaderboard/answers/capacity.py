"""How many requests until retraining is due?"""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    mean,
    named,
    number_of,
    seeds,
    unanswered,
    verdict,
)
from leaderboard.answers.stream import releases
from leaderboard.model.ranking import STATEMENTS
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.table import Evidence, Row

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
        short=_short([row for _, row in found]),
        points=tuple(_points([row for _, row in found])),
        notes=("After so many requests, retraining is due.",),
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def _has_capacity(row: Row) -> bool:
    """Whether its stream has one that means something."""
    says = row.verdict in STATEMENTS and not row.violations
    return says and mean(row, "deletion_capacity") is not None


def _points(rows: list[Row]) -> Iterator[str]:
    """Both capacities, and what either is about."""
    yield f"{counted(len(rows), 'row')} fixed the noise before the first request."
    if worst := _worst(rows):
        yield (
            "In the worst case every request moves the model as far as the noise is made for. Then "
            "all releases together keep the (ε, δ) that was asked for over "
            f"{_requests(worst)}, and this is what is proved."
        )
    yield (
        f"By the bounds for the requests that came it is {_requests(_measured(rows))}, "
        "extrapolated beyond the releases that were made. This is a measurement and promises "
        "nothing for other requests."
    )


def _short(rows: list[Row]) -> str:
    worst = _worst(rows)
    proved = f"After {_requests(worst)} in the worst case, which is proved; " if worst else ""
    return f"{proved}after {_requests(_measured(rows))} by the bounds for the requests that came."


def _worst(rows: list[Row]) -> list[float]:
    """Capacities whatever the requests are."""
    return [value for row in rows if (value := mean(row, "uniform_capacity")) is not None]


def _measured(rows: list[Row]) -> list[float]:
    """Capacities by the bounds for the requests that came."""
    return [number_of(row, "deletion_capacity") for row in rows]


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

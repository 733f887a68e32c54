"""What happens over ten requests?"""

from __future__ import annotations

from benchmark.contract.certificate import VERDICTS
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
from leaderboard.grid import Cell, Line
from leaderboard.numbers import span
from leaderboard.table import Row

SLUG = "answer-stream"
QUESTION = "What happens over ten requests?"
COMMAND = "make sequential RESULTS=leaderboard/results"

_COLUMNS = (
    "verdict",
    "releases",
    "ε of each",
    "ε of all together",
    "test gap (points)",
    "speed-up (×)",
    "capacity (requests)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every certified row of a stream: what its releases prove alone and together."""
    found = named(evidence.tables, lambda row: any(record.stream for record in row.done.values()))
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        text=_text([row for _, row in found]),
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def composed(row: Row) -> list[float]:
    """Of each seed, the epsilon of all its releases together, where they compose."""
    lasts = [record.stream[-1] for record in row.done.values() if record.stream]
    return [s.composed_epsilon for s in lasts if s.composed_epsilon is not None]


def _alone(row: Row) -> list[float]:
    return [step.epsilon for record in row.done.values() for step in record.stream]


def releases(row: Row) -> str:
    """How many each seed's stream has."""
    counts = sorted({len(record.stream) for record in row.done.values() if record.stream})
    return " or ".join(map(str, counts))


def _text(rows: list[Row]) -> str:
    noisy = [row for row in rows if row.verdict == "proved" and composed(row)]
    parts = [f"{counted(len(rows), 'certified row')} answered one request after the other."]
    if noisy:
        alone = [epsilon for row in noisy for epsilon in _alone(row)]
        together = [epsilon for row in noisy for epsilon in composed(row)]
        count = " or ".join(sorted({releases(row) for row in noisy}))
        parts.append(
            f"Where the verdict is proved, each release has ε {span(alone)} alone, and someone who "
            f"sees all {count} of them ε {span(together)}."
        )
    if gaps := _gaps(rows):
        parts.append(f"After the last one the gap to retraining in points is, {gaps}.")
    apart = sum(not composed(row) for row in rows)
    if apart:
        parts.append(f"The releases of {counted(apart, 'row')} do not compose.")
    return " ".join(parts)


def _gaps(rows: list[Row]) -> str:
    """The range of the rows' test gaps, verdict by verdict."""
    parts = []
    for verdict in VERDICTS:
        members = [row for row in rows if row.verdict == verdict]
        gaps = [gap for row in members if (gap := mean(row, "accuracy_test_gap")) is not None]
        if gaps:
            parts.append(f"{verdict}: {span(gaps)} ({counted(len(gaps), 'row')})")
    return "; ".join(parts)


def _line(name: str, row: Row) -> Line:
    together = composed(row)
    return Line(
        name,
        "",
        (
            Cell(row.verdict + (", violated" if row.violations else "")),
            Cell(releases(row)),
            Cell(span(_alone(row))),
            Cell(span(together) if together else "do not compose"),
            cell(row, "accuracy_test_gap"),
            cell(row, "speedup"),
            cell(row, "deletion_capacity"),
            Cell(seeds([row])),
        ),
    )

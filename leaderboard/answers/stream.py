"""What happens over ten requests?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from benchmark.contract.claim import VERDICTS
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
from leaderboard.model.numbers import span
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING, last_steps
from leaderboard.model.table import Evidence, Row
from leaderboard.model.words import BADGES

ORDER = 80
SLUG = "answer-stream"
QUESTION = "What happens over ten requests?"
COMMAND = "make sequential RESULTS=leaderboard/results"

_COLUMNS = (
    "verdict",
    "releases",
    "ε of each",
    "ε of all together, worst case",
    "ε of all together, measured",
    "test gap (points)",
    "speed-up (×)",
    "capacity, worst case (requests)",
    "capacity, measured (requests)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every row of a stream with a claim: what its releases keep alone and together."""
    found = named(evidence.tables, lambda row: any(record.stream for record in row.done.values()))
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        short=_short([row for _, row in found]),
        points=tuple(_points([row for _, row in found])),
        lines="Row",
        grid=grid(_COLUMNS, [_line(name, row) for name, row in found]),
    )


def composed(row: Row) -> list[float]:
    """The epsilon of all releases together, whatever the requests, of each seed that has one."""
    return _known(step.composed_epsilon for step in last_steps(row))


def measured(row: Row) -> list[float]:
    """The epsilon of all releases together, by the distances bounded for these requests."""
    return _known(step.measured_epsilon for step in last_steps(row))


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _alone(row: Row) -> list[float]:
    return [step.epsilon for record in row.done.values() for step in record.stream]


def releases(row: Row) -> str:
    """How many each seed's stream has."""
    counts = sorted({len(record.stream) for record in row.done.values() if record.stream})
    return " or ".join(map(str, counts))


def _points(rows: list[Row]) -> Iterator[str]:
    """Points on what the releases keep, the test gaps by verdict, and what does not compose."""
    yield f"{counted(len(rows), 'row')} with a claim answered one request after the other."
    yield from _proved([row for row in rows if row.verdict == "proved" and composed(row)])
    if gaps := _gaps(rows):
        yield f"After the last request the test gap is, by verdict: {gaps}."
    apart = sum(not composed(row) for row in rows)
    if apart:
        yield f"The releases of {counted(apart, 'row')} do not compose."


def _proved(rows: list[Row]) -> list[str]:
    """What proved releases keep alone, together in the worst case, and together as measured."""
    if not rows:
        return []
    alone = [epsilon for row in rows for epsilon in _alone(row)]
    together = [epsilon for row in rows for epsilon in composed(row)]
    count = " or ".join(sorted({releases(row) for row in rows}))
    parts = [
        f"Where the verdict is proved, each release alone has ε = {span(alone)}. All {count} "
        f"releases together have ε = {span(together)}, whatever the requests are. This is the "
        "worst case, and it is what is proved."
    ]
    if seen := [epsilon for row in rows for epsilon in measured(row)]:
        parts.append(
            f"By the distances that were bounded for these requests, they have ε = {span(seen)}. "
            "This is a measurement and says nothing about other requests."
        )
    return parts


def _short(rows: list[Row]) -> str:
    proved = [row for row in rows if row.verdict == "proved" and composed(row)]
    if not proved:
        return f"{counted(len(rows), 'row')} with a claim answered a stream; none is proved."
    together = [epsilon for row in proved for epsilon in composed(row)]
    text = (
        f"{' or '.join(sorted({releases(row) for row in proved}))} releases of "
        f"ε = {span([e for row in proved for e in _alone(row)])} have ε = {span(together)} "
        "together, whatever the requests are"
    )
    seen = [epsilon for row in proved for epsilon in measured(row)]
    return f"{text}; measured for these requests, {span(seen)}." if seen else f"{text}."


def _gaps(rows: list[Row]) -> str:
    """The range of the rows' test gaps, verdict by verdict."""
    parts = []
    for of in VERDICTS:
        members = [row for row in rows if row.verdict == of]
        gaps = [gap for row in members if (gap := mean(row, "accuracy_test_gap")) is not None]
        if gaps:
            parts.append(f"{BADGES[of]}, {span(gaps)} points ({counted(len(gaps), 'row')})")
    return "; ".join(parts)


def _line(name: str, row: Row) -> Line:
    together, seen = composed(row), measured(row)
    return Line(
        name,
        "",
        (
            Cell(verdict(row)),
            Cell(releases(row)),
            Cell(span(_alone(row))),
            Cell(span(together) if together else "do not compose"),
            Cell(span(seen) if seen else NOTHING),
            cell(row, "accuracy_test_gap"),
            cell(row, "speedup"),
            cell(row, "uniform_capacity"),
            cell(row, "deletion_capacity"),
            Cell(seeds([row])),
        ),
    )

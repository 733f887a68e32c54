"""How slack are the bounds?"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmark.contract.claim import Verdict
from leaderboard.answers.answer import Answer, counted, mean, number_of, problem, seeds, unanswered
from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence, Row, Table, bounded, claimed
from leaderboard.model.words import BADGES

ORDER = 40
SLUG = "answer-slack"
QUESTION = "How slack are the bounds?"
COMMAND = "make mnist RESULTS=leaderboard/results"

_VERDICTS: tuple[Verdict, ...] = ("proved", "conditional", "pair", "vacuous")
_COLUMNS = (
    *(f"slack, {BADGES[verdict]}" for verdict in _VERDICTS),
    "Δ₀ over the bound reached, proved",
    "realised ε, proved",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The range of bound over distance on each problem, verdict by verdict."""
    found = [(problem(table), rows) for table in evidence.problems if (rows := _rows(table))]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    inside = sum(_unmeasured(row) for table in evidence.problems for row in entries(table))
    return Answer(
        SLUG,
        QUESTION,
        short=_short([row for _, rows in found for row in rows]),
        points=tuple(_points([row for _, rows in found for row in rows])),
        missing=f"{counted(inside, 'row')} with the noise inside the algorithm have no distance "
        "that a bound could be compared with."
        if inside
        else "",
        lines="Problem",
        grid=grid(_COLUMNS, [_line(name, rows) for name, rows in found]),
    )


def _rows(table: Table) -> list[Row]:
    """Entries that claim a distance, and have a measured one."""
    return [
        row for row in entries(table) if row.verdict in _VERDICTS and mean(row, "slack") is not None
    ]


def _unmeasured(row: Row) -> bool:
    return any(claim.evidence.kind == "algorithm" for claim in row.claims)


def _points(rows: list[Row]) -> Iterator[str]:
    """Slack by verdict, what noise is made for, and violations."""
    said = [_by_verdict(rows, verdict) for verdict in _VERDICTS if verdict != "pair"]
    yield from filter(None, said)
    yield from _room(rows)
    if yardstick := _by_verdict(rows, "pair"):
        yield f"The rows about one pair of Gaussians are yardsticks. {yardstick}"
    violated = sum(bool(row.violations) for row in rows)
    every = counted(len(rows), "row")
    yield f"{violated} of {every} are violated." if violated else f"None of {every} is violated."


def _by_verdict(rows: list[Row], verdict: Verdict) -> str:
    slacks = [number_of(row, "slack") for row in rows if row.verdict == verdict]
    if not slacks:
        return ""
    return (
        f"In {counted(len(slacks), 'row')} with the verdict “{BADGES[verdict]}” the bound is "
        f"{span(slacks)} times the measured distance, with a median of {number(median(slacks))}."
    )


def _short(rows: list[Row]) -> str:
    slacks = [number_of(row, "slack") for row in rows if row.verdict == "proved"]
    if not slacks:
        return "No row is proved by a bound whose distance was measured."
    return (
        f"Proved bounds are {number(median(slacks))} times the measured distance in the median, "
        f"over {counted(len(slacks), 'row')}."
    )


def _room(rows: list[Row]) -> list[str]:
    """How much farther off a release may be than it is."""
    ratios = [ratio for row in rows if row.verdict == "proved" for ratio in _ratios(row)]
    if not ratios:
        return []
    return [
        f"Where the verdict is proved, the noise is made for {span(ratios)} times that bound, with "
        f"a median of {number(median(ratios))}, because the same noise serves every request."
    ]


def _ratios(row: Row) -> list[float]:
    """The distance that the noise is made for over the bound that was reached, seed by seed."""
    evidence = map(claimed, bounded(row))
    return [found.bound / found.reached for found in evidence if found.reached]


def _line(name: str, rows: list[Row]) -> Line:
    by_verdict = [_span(rows, verdict, "slack") for verdict in _VERDICTS]
    ratios = [ratio for row in rows if row.verdict == "proved" for ratio in _ratios(row)]
    room = span(ratios) if ratios else NOTHING
    realised = _span(rows, "proved", "realised_epsilon")
    return Line(name, "", tuple(map(Cell, (*by_verdict, room, realised, seeds(rows)))))


def _span(rows: list[Row], verdict: Verdict, key: str) -> str:
    means = [mean(row, key) for row in rows if row.verdict == verdict]
    values = [value for value in means if value is not None]
    return span(values) if values else NOTHING

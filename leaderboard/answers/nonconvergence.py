"""What changes when training has not converged?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean

from benchmark.errors import present
from benchmark.records import Record
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
from leaderboard.charts import settings as plots
from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Chart, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import (
    GENERAL,
    NONCONVERGENCE,
    Evidence,
    Point,
    Row,
    Table,
    bounded,
    bounds,
    by_device,
    claimed,
    constant,
    point,
    tables_of,
)
from leaderboard.model.words import statement

ORDER = 70
SLUG = "answer-nonconvergence"
QUESTION = "What changes when training has not converged?"
COMMAND = "make nonconvergence RESULTS=leaderboard/results"

_COLUMNS = (
    "G",
    "verdict",
    "bound Δ",
    f"bound: {statement(GENERAL)}",
    "distance",
    "ε",
    "test gap (points)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every certified row of the study, from the largest gradient at the end to the least."""
    tables = tables_of(evidence.tables, NONCONVERGENCE)
    found = [(table, row) for table in tables for row in entries(table) if gradient(row)]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    found.sort(key=lambda pair: (-present(gradient(pair[1])), pair[0].experiment, pair[1].label))
    return Answer(
        SLUG,
        QUESTION,
        short=_short([row for _, row in found]),
        points=tuple(_by_method([row for _, row in found])),
        lines="Row",
        grid=grid(_COLUMNS, [_line(table, row) for table, row in found]),
        charts=tuple(_charts(tables)),
    )


def gradient(row: Row) -> float | None:
    """G, what training is held to where it ends; the largest over seeds, None if unknown."""
    values = [constant(record, "retrain_gradient") for record in row.done.values()]
    return max((value for value in values if value is not None), default=None)


def _by_method(rows: list[Row]) -> Iterator[str]:
    """What verdict, bound and gap go through over all G, row by row of the study."""
    for label in dict.fromkeys(row.label for row in rows):
        members = [row for row in rows if row.label == label]
        yield (
            f"{members[0].title}, over all G: {_verdicts(members)}. The bound that needs no "
            f"convexity, {statement(GENERAL)}, is {_range(map(_general, members))}. "
            f"{_bound(members)}. The test gap is "
            f"{_range(mean(row, 'accuracy_test_gap') for row in members)} points."
        )


def _short(rows: list[Row]) -> str:
    lengths = counted(len({gradient(row) for row in rows}), "length")
    return (
        f"The verdict is {_verdicts(rows)}, and the bound that needs no convexity is "
        f"{_range(map(_general, rows))}. Training was stopped at {lengths}, with a gradient of at "
        f"most G = {_gradients(rows)}."
    )


def _gradients(rows: list[Row]) -> str:
    return span([present(gradient(row)) for row in rows])


def _verdicts(rows: list[Row]) -> str:
    return ", ".join(dict.fromkeys(map(verdict, rows)))


def _bound(rows: list[Row]) -> str:
    """What is claimed; where that is no more than the norm constraint gives, so much."""
    records = [record for row in rows for record in bounded(row)]
    bound = span([claimed(record).bound for record in records])
    if all(claimed(record).bound == _diameter(record) for record in records):
        return f"The bound that is claimed is 2C = {bound}, whatever G is"
    return f"The bound that is claimed is {bound}"


def _diameter(record: Record) -> float | None:
    """2C: no two models within the norm bound are farther apart."""
    radius = record.asked.problem.training.radius
    return None if radius is None else 2 * radius


def _range(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return span(known) if known else NOTHING


def _general(row: Row) -> float | None:
    """The bound that needs no convexity, mean over seeds."""
    values = [b[GENERAL] for record in bounded(row) if GENERAL in (b := bounds(record))]
    return fmean(values) if values else None


def _line(table: Table, row: Row) -> Line:
    return Line(
        f"{problem(table)}: {row.title}",
        "",
        (
            Cell(number(present(gradient(row)))),
            Cell(verdict(row)),
            Cell(number(fmean(claimed(record).bound for record in bounded(row)))),
            Cell(_range([_general(row)])),
            cell(row, "distance"),
            Cell(span([claim.epsilon for claim in row.claims])),
            cell(row, "accuracy_test_gap"),
            Cell(seeds([row])),
        ),
    )


def _charts(tables: list[Table]) -> list[Chart]:
    charts = []
    for device, members in by_device(tables).items():
        points = [p for table in members for row in entries(table) for p in _points(row)]
        if points:
            suffix = "" if device == "cpu" else f"-{members[0].device.split()[0]}"
            path = f"plots/nonconvergence{suffix}.svg"
            charts.append(Chart(path, plots.NONCONVERGENCE, plots.draw_nonconvergence, (points,)))
    return charts


def _points(row: Row) -> list[Point]:
    at = gradient(row)
    return [point(record, at, row.title) for record in bounded(row)] if at else []

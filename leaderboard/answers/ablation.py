"""What does each setting change?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

from benchmark.errors import present
from benchmark.records import Record
from leaderboard.answers.answer import Answer, counted, unanswered
from leaderboard.charts import settings as plots
from leaderboard.model.numbers import number
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Chart, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import (
    ABLATION,
    GENERAL,
    Evidence,
    Point,
    Row,
    Table,
    bounded,
    by_device,
    constant,
    point,
    tables_of,
)
from leaderboard.model.words import statement

ORDER = 120
SLUG = "answer-ablation"
QUESTION = "What do damping, norm bound, noise, chains, depth and the number forgotten change?"
COMMAND = "make ablation RESULTS=leaderboard/results"

SETTINGS = plots.SETTINGS

_COLUMNS = (
    "from → to",
    f"bound: {statement(GENERAL)}",
    "certified ε",
    "residual",
    "test gap (points)",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The ranges that bounds and utility go through, setting by setting."""
    tables = tables_of(evidence.tables, ABLATION)
    found = {device: panels(members) for device, members in by_device(tables).items()}
    found = {device: varied for device, varied in found.items() if varied}
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    lines = [
        _line(SETTINGS[name] + ("" if device == "cpu" else f" ({device})"), points)
        for device, varied in found.items()
        for name, points in varied.items()
    ]
    absent = [SETTINGS[name] for name in SETTINGS if not any(name in v for v in found.values())]
    varied = [points for of_device in found.values() for points in of_device.values()]
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=(
            f"{counted(len(lines), 'setting')} were varied, one at a time, from the least value to "
            "the largest.",
            f"Numbers are {_averaged(varied)}.",
            *_lost(tables),
        ),
        missing=f"Not varied: {', '.join(absent)}." if absent else "",
        command=COMMAND if absent else "",
        lines="Setting",
        grid=grid(_COLUMNS, lines),
        charts=tuple(_chart(device, varied) for device, varied in found.items()),
    )


def _short(found: dict[str, dict[str, list[Point]]]) -> str:
    """How far each setting moves the bound that needs no convexity."""
    parts = [
        f"{SETTINGS[name]} {_change(_ends(points), lambda p: p.bounds.get(GENERAL))}"
        for varied in found.values()
        for name, points in varied.items()
    ]
    return f"From the least value to the largest, the bound moves with: {'; '.join(parts)}."


def _averaged(varied: list[list[Point]]) -> str:
    """What the numbers are, by how many seeds a row has."""
    counts = [count for points in varied for count in _seeds(points)]
    return "of one seed each, without an interval" if set(counts) == {1} else "means over seeds"


def _lost(tables: list[Table]) -> list[str]:
    """The entries without a number, and the table below that says why."""
    lost = [
        f"{row.title} (the table of “{table.title}” says why)"
        for table in tables
        for row in entries(table)
        if row.void
    ]
    return [f"Without an answer: {'; '.join(lost)}."] if lost else []


def panels(tables: list[Table]) -> dict[str, list[Point]]:
    """By setting, the points of the rows that differ in it alone from the study's own.

    The study's own rows are in the experiment as its file stands, and like no other row.
    """
    rows = [(table, row) for table in tables for row in entries(table) if bounded(row)]
    found: dict[str, list[Point]] = defaultdict(list)
    for home, base in rows:
        if home.known.profile is not None or base.like is not None:
            continue
        study = [row for table, row in rows if table.known.study == home.known.study]
        for name in SETTINGS:
            varied = [row for row in study if _differ(row, base) <= {name}]
            if any(_differ(row, base) for row in varied):
                found[name] += [p for row in varied for p in _points(row, name, base.title)]
    return {name: found[name] for name in SETTINGS if name in found}


def _settings(row: Row) -> dict[str, Any]:
    """The method, its parameters, and what the experiment sets."""
    record = row.found[0]
    return record.method.params | {
        "method": record.method.name,
        "radius": record.asked.problem.training.radius,
        "forgotten": record.asked.forget.count,
    }


def _differ(row: Row, base: Row) -> set[str]:
    ours, theirs = _settings(row), _settings(base)
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


def _points(row: Row, name: str, series: str) -> Iterator[Point]:
    records = bounded(row)
    at = _value(row, name, records)
    return (point(record, at, series) for record in records)


def _value(row: Row, name: str, records: list[Record]) -> float:
    """A setting that the method chose by itself is in its claims, a little apart by seed."""
    value = _settings(row).get(name)
    return fmean(present(constant(record, name)) for record in records) if value is None else value


def _line(title: str, points: list[Point]) -> Line:
    ends = _ends(points)
    readings: tuple[Callable[[Point], float | None], ...] = (
        lambda p: p.setting,
        lambda p: p.bounds.get(GENERAL),
        lambda p: p.epsilon,
        lambda p: p.residual,
        lambda p: p.gap,
    )
    counts = sorted({count for members in ends for count in _seeds(members)})
    cells = [_change(ends, read) for read in readings]
    return Line(title, "", tuple(map(Cell, (*cells, " or ".join(map(str, counts))))))


def _ends(points: list[Point]) -> list[list[Point]]:
    """The points at the least setting and at the largest."""
    ends = (end(p.setting for p in points) for end in (min, max))
    return [[p for p in points if p.setting == value] for value in ends]


def _seeds(points: list[Point]) -> list[int]:
    """How many seeds stand behind each row's value."""
    return list(Counter((p.series, p.setting) for p in points).values())


def _change(ends: list[list[Point]], read: Callable[[Point], float | None]) -> str:
    found = [[value for p in points if (value := read(p)) is not None] for points in ends]
    return " → ".join(number(fmean(values)) if values else NOTHING for values in found)


def _chart(device: str, varied: dict[str, list[Point]]) -> Chart:
    suffix = "" if device == "cpu" else f"-{device.split()[0]}"
    return Chart(f"plots/ablation{suffix}.svg", plots.ABLATION, plots.draw_ablation, (varied,))

"""Does a deletion take longer where there are more data?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from benchmark.errors import present
from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    folded,
    guaranteed,
    mean,
    number_of,
    seeds,
    unanswered,
)
from leaderboard.charts import costs as plots
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Chart, Line, Section, grid
from leaderboard.model.table import SCALE, Evidence, Row, Table, by_device, tables_of

ORDER = 15
SLUG = "answer-scale"
QUESTION = "Does a deletion take longer where there are more data?"
COMMAND = "make scale RESULTS=leaderboard/results"

_COLUMNS = (
    "training rows",
    "seconds of a request",
    "speed-up (×)",
    "test gap (points)",
    "seeds",
)
#: A time that grows by no more than this while the rows grow by at least `_WIDE` is flat.
_FLAT = 2.0
_WIDE = 10


@dataclass(frozen=True)
class Growth:
    """One certified row at every number of training rows.

    Attributes:
        problem: what is trained, without the number of rows.
        title: of the row.
        points: the number of rows with the row there, fewest first.
    """

    problem: str
    title: str
    points: tuple[tuple[int, Row], ...]

    @property
    def factor(self) -> float:
        """The time of a request at the most rows over that at the fewest."""
        return number_of(self.points[-1][1], "unlearn") / number_of(self.points[0][1], "unlearn")

    @property
    def rows(self) -> float:
        """How many times the rows that are fewest the most ones are."""
        return self.points[-1][0] / self.points[0][0]

    @property
    def retraining(self) -> float:
        """What `factor` is of the retraining that was timed beside the row."""
        return _retraining(self.points[-1][1]) / _retraining(self.points[0][1])

    @property
    def flat(self) -> bool:
        return self.factor <= _FLAT


def answer(evidence: Evidence) -> Answer:
    """The time of a request at every number of rows, row by row."""
    tables = [table for table in tables_of(evidence.tables, SCALE) if table.known.train]
    found = list(_growths(tables))
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    missing = [table.title for table in tables if any(not row.complete for row in table.rows)]
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(_points(found)),
        folds=_folds([growth for growth in _grown(found) if growth.flat]),
        missing=f"Seeds are missing of {'; '.join(missing)}." if missing else "",
        command=COMMAND if missing else "",
        lines="Row",
        grid=grid(_COLUMNS, [line for growth in found for line in _lines(growth)]),
        charts=tuple(_charts(tables)),
    )


def _growths(tables: list[Table]) -> Iterator[Growth]:
    """The timed rows that are proved or exact, by problem."""
    by_row: dict[tuple[str, str], list[tuple[int, Row]]] = {}
    for table in sorted(tables, key=lambda t: (t.known.problem, _train(t))):
        for row in entries(table):
            if guaranteed(row) and mean(row, "unlearn"):
                key = _problem(table), row.title
                by_row.setdefault(key, []).append((_train(table), row))
    for (problem, title), points in by_row.items():
        yield Growth(problem, title, tuple(points))


def _problem(table: Table) -> str:
    plain = table.device == "cpu"
    return table.known.problem if plain else f"{table.known.problem} ({table.device})"


def _train(table: Table) -> int:
    """Number of training rows of an experiment of the answer, which names it."""
    return present(table.known.train)


def _retraining(row: Row) -> float:
    """Seconds of retraining beside the row, the mean over its seeds."""
    return fmean(record.times.retrain for record in row.done.values() if record.times)


def _grown(found: list[Growth]) -> list[Growth]:
    """Rows of the board that were timed over so many training rows that growth would show."""
    return [growth for growth in found if growth.rows >= _WIDE]


def _points(found: list[Growth]) -> Iterator[str]:
    """Points on how the time of a request grows, where it is flat and for the rest."""
    grown = _grown(found)
    if not grown:
        return
    fewest, most = (
        pick(n for g in grown for n, _ in (g.points[0], g.points[-1])) for pick in (min, max)
    )
    yield f"The training rows grow from {fewest:,} to {most:,}."
    if flat := [growth for growth in grown if growth.flat]:
        yield (
            f"The time of a request at most doubles for {counted(len(flat), 'row')}: it is "
            f"{span([g.factor for g in flat])} times what it was."
        )
        if speedups := [s for g in flat if (s := mean(g.points[-1][1], "speedup")) is not None]:
            yield f"At the most rows they are {span(speedups)} times faster than retraining."
    if rest := [growth for growth in grown if not growth.flat]:
        yield (
            f"It grows {span([g.factor for g in rest])} times for {_listed(rest)}, and retraining "
            f"beside it {span([g.retraining for g in rest])} times."
        )


def _folds(flat: list[Growth]) -> tuple[Section, ...]:
    """The rows whose time at most doubles, with its growth."""
    items = [f"{_listed([growth])}: {number(growth.factor)} times what it was" for growth in flat]
    heading = f"The time of a request at most doubles: {counted(len(flat), 'row')}"
    return folded(f"{SLUG}-flat", heading, items)


def _short(found: list[Growth]) -> str:
    """A row is said to be flat only if it is on every problem."""
    grown = _grown(found)
    if not grown:
        return (
            f"Only one number of training rows was tried, or none {_WIDE} times as many: nothing "
            "is said about growth."
        )
    by_title: dict[str, list[Growth]] = {}
    for growth in grown:
        by_title.setdefault(growth.title, []).append(growth)
    flat = {t: one for t, one in by_title.items() if all(growth.flat for growth in one)}
    rest = {t: one for t, one in by_title.items() if t not in flat}
    if not flat:
        return (
            f"Yes for {'; '.join(rest)}: a request takes {span([g.factor for g in grown])} times "
            f"as long at {_times([g.rows for g in grown])} times the training rows."
        )
    kept = [growth for one in flat.values() for growth in one]
    text = (
        f"No for {'; '.join(flat)}: a request takes {span([g.factor for g in kept])} times as long "
        f"at {_times([g.rows for g in kept])} times the training rows."
    )
    if not rest:
        return text
    longer = span([growth.factor for one in rest.values() for growth in one])
    return f"{text} For {'; '.join(rest)} it takes {longer} times as long."


def _times(ratios: list[float]) -> str:
    low, high = f"{min(ratios):.3g}", f"{max(ratios):.3g}"
    return low if low == high else f"{low} to {high}"


def _listed(growths: list[Growth]) -> str:
    return "; ".join(
        f"{growth.title} ({growth.problem}, {growth.points[0][0]:,} to {growth.points[-1][0]:,} "
        "rows)"
        for growth in growths
    )


def _lines(growth: Growth) -> Iterator[Line]:
    for rows, row in growth.points:
        yield Line(
            f"{growth.problem}: {growth.title}",
            "",
            (
                Cell(f"{rows:,}"),
                Cell(number(number_of(row, "unlearn"))),
                cell(row, "speedup"),
                cell(row, "accuracy_test_gap"),
                Cell(seeds([row])),
            ),
        )


def _charts(tables: list[Table]) -> Iterator[Chart]:
    for device, members in by_device(tables).items():
        drawn = [p for t in sorted(members, key=_train) for p in _drawn(t)]
        if drawn:
            suffix = "" if device == "cpu" else f"-{device.split()[0]}"
            yield Chart(f"plots/scale{suffix}.svg", plots.SCALE, plots.draw_scale, (drawn,))


def _drawn(table: Table) -> Iterator[plots.ScalePoint]:
    """Every seed of the rows that are proved or exact, and of the retraining beside them."""
    problem, rows = table.known.problem, _train(table)
    retrained: dict[int, float] = {}
    for row in filter(guaranteed, entries(table)):
        for seed, seconds in row.values(BY_KEY["unlearn"]).items():
            yield plots.ScalePoint(problem, row.title, rows, seconds)
            retrained.setdefault(seed, present(row.done[seed].times).retrain)
    for seconds in retrained.values():
        yield plots.ScalePoint(problem, plots.RETRAINING, rows, seconds)

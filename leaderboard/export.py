"""Any part of the overview as a table for a paper or a program; see `lethe table`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmark.errors import LetheError, unknown
from benchmark.metrics.metric import NOT_KEPT, NumberMetric, discover, of_column
from benchmark.studies import quality_record
from leaderboard.front.data import model_of
from leaderboard.model.columns import TARGET_UNITS
from leaderboard.model.numbers import number
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import load, measured, predicted_column
from leaderboard.overview.cells import BY_KEY, Column, Line, Text
from leaderboard.overview.overview import Overview, overview
from leaderboard.overview.row import OverviewRow
from leaderboard.render.pages import pipe_table
from leaderboard.render.tables import entry, seeds_of, tabular

#: What a line of the table stands for.
LINES = ("row", "method", "seed")
_COLUMNS = {
    "row": "rank,method,problem,verdict,epsilon,gap,speedup,once,pays",
    "method": "rank,method,verdict,epsilon,gap,speedup,once,pays,problems",
}
#: Beside them where every line is of a real target.
_OF_NUMBERS = ",r2.test,rmse.test"
#: By name, what a filter compares its values with.
_FILTERS: dict[str, Callable[[OverviewRow], tuple[str, ...]]] = {
    "experiment": lambda row: (row.table.experiment,),
    "data": lambda row: (row.table.known.data, row.data),
    "model": lambda row: (*model_of(row), row.model),
    "request": lambda row: (row.track.request.name,),
    "verdict": lambda row: (row.row.verdict,),
    "method": lambda row: (row.row.label, row.row.title),
    "track": lambda row: (row.track.slug,),
    "family": lambda row: (row.track.family.key,),
}


@dataclass(frozen=True)
class View:
    """Which part of the overview, and what of it.

    Attributes:
        filters: each the name of an experiment, `name=value,value`, or a word to search for.
        useful: only rows that are accurate and over their control.
        by: what a line stands for, see `LINES`.
        columns: their keys; None for the usual ones.
    """

    filters: Sequence[str] = ()
    useful: bool = False
    by: str = "row"
    columns: Sequence[str] | None = None


def read(results: Path) -> Overview:
    """The overview of a results folder.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    return overview(measured(results, load(results)), quality_record.read_all(results))


def export(found: Overview, view: View, form: str = "markdown") -> str:
    """The view as a text in Markdown, LaTeX, CSV or JSON.

    Raises:
        LetheError: for a filter, a column or a format that there is not, or if no row is left.
    """
    writers = {"markdown": _markdown, "latex": _latex, "csv": _csv, "json": _json}
    if form not in writers:
        raise unknown("format", form, writers)
    if view.by == "seed":
        if form != "csv" or view.columns:
            raise LetheError("lines of seeds have every column and are CSV: add --format csv")
        rows = [row for line in _lines(found, view) for row in line.rows]
        return seeds_of((row.table, row.row) for row in rows)
    lines = _lines(found, view)
    return writers[form](lines, _columns(view, lines))


def bibtex(found: Overview, view: View) -> str:
    """BibTeX entries of the papers of the view's rows, each once.

    Raises:
        LetheError: for a filter that there is not, or if no row is left.
    """
    methods = [
        row.row.found[0].method
        for line in _lines(found, view)
        for row in line.rows
        if row.row.found
    ]
    papers = dict.fromkeys((method.paper, method.url) for method in methods if method.paper)
    return "\n\n".join(entry(*paper).text for paper in papers) + "\n"


def _columns(view: View, lines: Sequence[Line]) -> list[Column]:
    targets = {row.table.known.number for line in lines for row in line.rows}
    usual = _COLUMNS[view.by] + ("" if None in targets else _OF_NUMBERS)
    unit = targets.pop() if len(targets) == 1 else None
    return [_column(key, unit or TARGET_UNITS) for key in view.columns or usual.split(",")]


def _column(key: str, unit: str) -> Column:
    """A column of the overview, or of a metric of predictions.

    Args:
        key: of the column.
        unit: of real targets.

    Raises:
        LetheError: if there is none.
    """
    if key in BY_KEY:
        return BY_KEY[key]
    column = predicted_column(key)
    if column is None:
        kept = [f"{name}.test" for name in discover()]
        raise unknown("column", key, [*BY_KEY, *kept])

    def value(line: Line) -> float | None:
        means = [one.mean for row in line.rows if (one := row.row.estimate(column))]
        return fmean(means) if means else None

    metric = of_column(key)
    of_numbers = metric is not None and issubclass(metric, NumberMetric)

    def text(line: Line) -> Text:
        mean = value(line)
        if mean is not None:
            return Text(number(mean))
        ran = [row.table for row in line.rows if row.row.done]
        fits = any((table.known.number is not None) == of_numbers for table in ran)
        return Text(NOT_KEPT if fits else NOTHING)

    unit = column.unit or (unit if of_numbers else "")
    return Column(key, column.header, unit, column.meaning, text, value)


def _lines(found: Overview, view: View) -> list[Line]:
    """The lines in the order of the overview."""
    if view.by not in LINES:
        raise unknown("kind of line", view.by, LINES)
    experiments = {row.table.experiment for row in found.rows}
    tests = [_test(text, experiments) for text in view.filters]
    lines = []
    for standing in found.standings:
        rows = [r for r in standing.rows if (r.useful or not view.useful) and _fits(r, tests)]
        parts = [(row,) for row in rows] if view.by != "method" else [tuple(rows)] if rows else []
        lines += [Line(standing, part, standing.problems) for part in parts]
    if not lines:
        asked = " ".join(view.filters) or "these results"
        raise LetheError(
            f"no row fits {asked}: see `lethe list`, or leave out a filter; trials such as smoke "
            "are no part of a table where there is anything else"
        )
    return lines


_Test = Callable[[OverviewRow], bool]


def _fits(row: OverviewRow, tests: Sequence[_Test]) -> bool:
    return all(test(row) for test in tests)


def _test(text: str, experiments: set[str]) -> _Test:
    """What a filter asks of a row."""
    name, is_pair, listed = text.partition("=")
    if not is_pair:
        if text in experiments:
            return lambda row: row.table.experiment == text
        return lambda row: text.casefold() in _searched(row)
    if name not in _FILTERS:
        raise unknown("filter", name, _FILTERS)
    wanted = {value.casefold() for value in listed.split(",")}
    return lambda row: not wanted.isdisjoint(map(str.casefold, _FILTERS[name](row)))


def _searched(row: OverviewRow) -> str:
    return f"{row.row.title} {row.problem} {row.request} {row.theorem}".casefold()


# --- formats -------------------------------------------------------------------------------------


def _markdown(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    rows = [[column.heading for column in columns], ["---"] * len(columns)]
    rows += [[column.text(line).line for column in columns] for line in lines]
    return pipe_table(rows)


def _latex(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    return tabular(
        [column.heading for column in columns],
        [
            (line.standing.track.title, [column.text(line).line for column in columns])
            for line in lines
        ],
    )


def _csv(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["track", *(column.key for column in columns)])
    writer.writerows([line.standing.track.slug, *_values(line, columns)] for line in lines)
    return file.getvalue()


def _json(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    keys = [column.key for column in columns]
    found = [
        {
            "track": line.standing.track.slug,
            "label": line.standing.label,
            "experiments": sorted({row.table.experiment for row in line.rows}),
        }
        | dict(zip(keys, _values(line, columns), strict=True))
        for line in lines
    ]
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _values(line: Line, columns: Sequence[Column]) -> list[float | str | None]:
    """Numbers as they are; of a problem also what is asked for."""
    return [
        column.text(line).line if column.key in ("problem", "verdict") else column.value(line)
        for column in columns
    ]

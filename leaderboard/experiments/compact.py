"""An experiment in a few columns, for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from leaderboard.experiments.problem import number_cell, verdict_cell
from leaderboard.model.columns import BY_KEY, TEST_GAP, Column
from leaderboard.model.numbers import number
from leaderboard.model.ranking import Mark, entries, marks, yardsticks
from leaderboard.model.section import Cell, Line, Section, grid
from leaderboard.model.shown import seeds
from leaderboard.model.table import Row, Table

_COLUMNS = (TEST_GAP, *(BY_KEY[key] for key in ("attack_gap", "slack", "unlearn", "speedup")))
# the others are means alone: there is no room for every interval
_WITH_SPREAD = ("accuracy_test_gap", "attack_gap")
_CAPTION = (
    "Means over seeds, gaps with the half-width of their 95 % interval. Bold: best entry, "
    "≈: tied with it."
)


def compact(table: Table, labels: Collection[str] | None = None) -> Section | None:
    """The rows of these labels, or all; None if there are none.

    What is best is so among all rows of the table.
    """
    best = marks(table)
    lines = [
        _line(row, group, best)
        for group, rows in (("Yardsticks", yardsticks(table)), ("Entries", entries(table)))
        for row in rows
        if labels is None or row.label in labels
    ]
    if not lines:
        return None
    names = ("Verdict", *(column.heading for column in _COLUMNS), "Seeds")
    parts = (grid(names, lines, "Method", _CAPTION),)
    return Section(table.slug, table.title, parts=parts, aside=table.device)


def _line(row: Row, group: str, best: Mapping[tuple[str, str], Mark]) -> Line:
    verdict = verdict_cell(row)
    text = seeds(row).replace(" seeds", "")
    count = Cell(text) if row.complete else Cell("", alarm=text)
    numbers = (_number(row, column, best) for column in _COLUMNS)
    alarm = bool(row.violations or row.void)
    return Line(row.title, "", (verdict, *numbers, count), alarm=alarm, group=group)


def _number(row: Row, column: Column, best: Mapping[tuple[str, str], Mark]) -> Cell:
    cell = replace(number_cell(row, column, best), alarm="")
    estimate = row.estimate(column)
    if estimate is None or column.key in _WITH_SPREAD:
        return cell
    return replace(cell, text=number(estimate.mean, 2), aside="")

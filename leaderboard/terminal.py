"""The board in a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from leaderboard.columns import BY_KEY, Column
from leaderboard.numbers import number
from leaderboard.ranking import Mark, entries, marks, yardsticks
from leaderboard.shown import seeds, shown
from leaderboard.table import Row, Table, load
from leaderboard.words import BADGES

_COLUMNS = tuple(
    BY_KEY[key] for key in ("accuracy_test_gap", "attack_gap", "slack", "unlearn", "speedup")
)
# the others are means alone: there is no room for every interval
_WITH_SPREAD = ("accuracy_test_gap", "attack_gap")
_CAPTION = (
    "Means over seeds, gaps with the half-width of their 95 % interval. Bold: best entry, "
    "≈: tied with it.\n"
)


def terminal_tables(
    results: Path, only: Mapping[str, Collection[str]] | None = None
) -> list[RichTable]:
    """A compact table for each experiment and device.

    Args:
        results: the folder of the records.
        only: by experiment the labels of the rows to show; every row of every one if None.

    Raises:
        LetheError: if there are no results, or one of them is damaged.
    """
    asked = [(table, _asked(table, only)) for table in load(results)]
    return [_render(table, labels) for table, labels in asked if labels]


def _asked(table: Table, only: Mapping[str, Collection[str]] | None) -> set[str]:
    labels = {row.label for row in table.rows}
    return labels if only is None else labels.intersection(only.get(table.experiment, ()))


def _render(table: Table, labels: Collection[str]) -> RichTable:
    """The rows of these labels; what is best is so among all rows of the table."""
    rendered = RichTable(
        title=Text(f"{table.title} ({table.device})"),
        title_justify="left",
        title_style="bold",
        caption=_CAPTION,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    rendered.add_column("Method", overflow="fold")
    rendered.add_column("Verdict", overflow="fold")
    for column in _COLUMNS:
        unit = f"\n({column.unit})" if column.unit else ""
        rendered.add_column(
            column.header + unit,
            justify="right",
            overflow="fold",
            no_wrap=column.key not in _WITH_SPREAD,
        )
    rendered.add_column("Seeds", overflow="fold")
    best = marks(table)
    for row in yardsticks(table):
        if row.label in labels:
            _add(rendered, row, best)
    rendered.add_section()
    for row in entries(table):
        if row.label in labels:
            _add(rendered, row, best)
    return rendered


def _add(rendered: RichTable, row: Row, best: Mapping[tuple[str, str], Mark]) -> None:
    state = row.void or BADGES[row.verdict] + (", violated" if row.violations else "")
    rendered.add_row(
        Text(row.title),
        Text(state),
        *(_number(row, column, best) for column in _COLUMNS),
        Text(seeds(row).replace(" seeds", ""), style="" if row.complete else "bold yellow"),
        style="red" if row.violations or row.void else None,
    )


def _number(row: Row, column: Column, best: Mapping[tuple[str, str], Mark]) -> Text:
    value = shown(row, column, best.get((column.key, row.label), ""))
    estimate = row.estimate(column)
    if estimate is None:
        return Text(value.mean)
    if column.key in _WITH_SPREAD:
        # no space within: in a narrow terminal the line breaks before the sign, not after
        parts = [value.mean, value.spread.replace(" ", "")]
    else:
        parts = [number(estimate.mean, 2)]
    if value.mark == "tied":
        parts.append("≈")
    return Text(" ".join(filter(None, parts)), style="bold" if value.mark == "best" else "")

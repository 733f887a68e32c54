"""A table in a terminal."""

from __future__ import annotations

from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from leaderboard.model.section import Cell, Grid, Line, Section, numeric


def render_terminal(section: Section) -> list[RichTable]:
    """The section's tables, under its heading; no line of one breaks within a number."""
    heading = " ".join(filter(None, [section.heading, section.aside and f"({section.aside})"]))
    return [_render(grid, heading) for grid in section.grids]


def _render(grid: Grid, heading: str) -> RichTable:
    rendered = RichTable(
        title=Text(heading),
        title_justify="left",
        title_style="bold",
        caption=Text(f"{grid.caption}\n"),
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    rendered.add_column(grid.name, overflow="fold")
    for place, (name, number) in enumerate(zip(grid.headings, numeric(grid), strict=True)):
        whole = number and all(_is_short(line.cells[place]) for line in grid.lines)
        rendered.add_column(
            Text(name.replace(" (", "\n(")),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=whole,
        )
    for _, lines in groupby(grid.lines, key=lambda line: line.group):
        rendered.add_section()
        for line in lines:
            _add(rendered, line)
    return rendered


def _is_short(cell: Cell) -> bool:
    return not cell.aside and not cell.alarm and " " not in cell.text


def _add(rendered: RichTable, line: Line) -> None:
    cells = (_text(cell) for cell in line.cells)
    rendered.add_row(Text(line.title), *cells, style="red" if line.alarm else None)


def _text(cell: Cell) -> Text:
    text = Text(cell.text, style="bold" if cell.best else "")
    if cell.aside:
        # no space within: in a narrow terminal the line breaks before the sign, not after
        text.append(f" {cell.aside.replace(' ', '')}")
    if cell.tied:
        text.append(" ≈")
    if cell.alarm:
        joined = ", " if cell.text else ""
        text.append(f"{joined}{cell.alarm}", style="bold yellow")
    return text

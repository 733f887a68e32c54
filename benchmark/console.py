"""One way to print a value: as it is, in whatever characters the terminal has."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

#: Columns below which a table is printed row by row.
NARROW = 72


def console(*, stderr: bool = False) -> Console:
    """A console that takes no text for markup, whoever wrote it."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_anything() -> None:
    """Let both streams print `?` for what their encoding lacks, where they would raise an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def marked(style: str, word: str, text: str = "") -> Text:
    """A coloured word, then text as it is on one line."""
    rest = " ".join(text.splitlines())
    return Text.assemble((word, style), f" {rest}" if rest else "")


def show(out: Console, table: Table) -> None:
    """Print a table; in a narrow terminal each row as a name and a line for each other cell."""
    if out.width >= NARROW:
        out.print(table)
        return
    headings = [" ".join(str(column.header).split()) for column in table.columns]
    if table.title:
        out.print(Text(str(table.title), style="bold"))
    for number, cells in enumerate(zip(*(column.cells for column in table.columns), strict=True)):
        name, *others = (cell if isinstance(cell, Text) else Text(str(cell)) for cell in cells)
        # whole, so that it can be copied
        out.print(name, soft_wrap=True, style=table.rows[number].style or "bold")
        for heading, cell in zip(headings[1:], others, strict=True):
            if cell.plain.strip():
                out.print(Padding(Text.assemble(f"{heading}: " if heading else "", cell), (0, 2)))
    if table.caption:
        out.print(Text(str(table.caption)))

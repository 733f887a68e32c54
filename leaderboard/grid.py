"""A plain table of texts, for the studies' sections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A text, whether it is the best of its column, and whether it stands for a missing record."""

    text: str
    best: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table: its name, what it is, and a cell a column."""

    title: str
    remark: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table: groups of columns with a heading each, and lines."""

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    lines: tuple[Line, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """Of all columns, with the group's where it has one."""
        return tuple(
            f"{group}: {name}" if group else name for group, names in self.groups for name in names
        )

"""Pages of the board in no format yet: sections of parts, and plots."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from typing import Any, Literal

from pydantic import BaseModel

# A plot that knows its data: it is drawn when they have changed, and not to be compared.

_BOARD = "leaderboard"
#: Fields of a record that no plot shows: where and when it was made.
_UNSEEN = {"environment", "finished"}
_MARK = re.compile(rb"<!-- drawn from ([0-9a-f]{64}) -->\n\Z")


@dataclass(frozen=True)
class Chart:
    """One plot.

    Attributes:
        path: where it lies, relative to the board's folder.
        caption: what it shows, in words.
        draw: a function of a module of this package, from `data` to an SVG that is the same bytes
            for the same data.
        data: its arguments.
    """

    path: str
    caption: str
    draw: Callable[..., bytes]
    data: tuple[Any, ...]

    @cached_property
    def digest(self) -> str:
        """sha256 of the data and of the board's code that draws them, matplotlib's left out."""
        found = hashlib.sha256()
        for module in _drawing(self.draw.__module__):
            found.update(inspect.getsource(sys.modules[module]).encode())
        found.update(json.dumps(_plain(self.data)).encode())
        return found.hexdigest()

    @cached_property
    def svg(self) -> bytes:
        """The file, which ends with the digest."""
        return self.draw(*self.data) + f"<!-- drawn from {self.digest} -->\n".encode()

    def is_in(self, content: bytes | None) -> bool:
        """Whether a file's content was drawn from the same data."""
        mark = _MARK.search(content or b"")
        return mark is not None and mark[1].decode() == self.digest


def is_drawn(content: bytes) -> bool:
    """Whether a file's content is a plot of the board's."""
    return _MARK.search(content) is not None


@cache
def _drawing(module: str) -> tuple[str, ...]:
    """Names of the board's modules that one imports, directly or not, itself included."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in found or not name.startswith(f"{_BOARD}.") or name not in sys.modules:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[name]))):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(sorted(found))


def _plain(value: Any) -> Any:
    """The value as JSON, the same for equal values.

    Raises:
        TypeError: for a kind of value whose content is not known.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude=_UNSEEN & type(value).model_fields.keys())
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(found)] for key, found in value.items()]
    if isinstance(value, AbstractSet):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, Sequence):
        return [_plain(found) for found in value]
    raise TypeError(f"no plot is drawn from a {type(value).__name__}")


#: What a number begins with.
_NUMBER = frozenset("0123456789+-−≥≤≈.")
Tone = Literal["", "lead", "quiet", "alarm", "command"]


@dataclass(frozen=True)
class Prose:
    """One paragraph, or a list of several.

    Attributes:
        items: the sentences of each.
        tone: how it is set; `command` is for a shell.
        numbered: whether the list counts, as footnotes do.
    """

    items: tuple[str, ...]
    tone: Tone = ""
    numbered: bool = False


@dataclass(frozen=True)
class Cell:
    """A text in a table.

    Attributes:
        text: what stands in it.
        best, tied: whether it is the best of its column, or tied with the best.
        missing: whether it stands for a missing record.
        aside: what stands small behind the text, such as an interval.
        alarm: what a reader must not overlook, behind both.
        badge: the kind of badge that the text is; "" for plain text.
    """

    text: str
    best: bool = False
    missing: bool = False
    tied: bool = False
    aside: str = ""
    alarm: str = ""
    badge: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table: its name, what it is, and a cell a column.

    Attributes:
        url: of a web page about it.
        anchor: slug of the section of the same page that has it in full.
        page: file that has it in full; "" for none.
        alarm: whether the whole row is refuted.
        group: heading that it stands under together with its neighbours; "" for none.
    """

    title: str
    remark: str
    cells: tuple[Cell, ...]
    url: str = ""
    anchor: str = ""
    page: str = ""
    alarm: bool = False
    group: str = ""


@dataclass(frozen=True)
class Grid:
    """A table: groups of columns with a heading each, and lines.

    Attributes:
        name: what a line stands for.
        caption: what the cells are, in words.
    """

    groups: tuple[tuple[str, tuple[str, ...]], ...]
    lines: tuple[Line, ...]
    name: str = "Row"
    caption: str = ""

    @property
    def headings(self) -> tuple[str, ...]:
        """Headings of all columns, each with its group's where it has one."""
        return tuple(
            f"{group}: {name}" if group else name for group, names in self.groups for name in names
        )


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for.

    Attributes:
        name: what the facts are about; "" for the section they are in.
    """

    pairs: tuple[tuple[str, str], ...]
    name: str = ""


@dataclass(frozen=True)
class Missing:
    """What there is no record of, in whole sentences, and the command that makes it.

    Attributes:
        command: "" where none would help.
    """

    text: str
    command: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, how to read what is below it, and the parts; sections may be among them.

    Attributes:
        slug: its name in addresses.
        heading: in words.
        reading: how to read the parts, a sentence or more each.
        parts: in order.
        summary: what it says in one sentence; "" for none.
        aside: what stands small behind the heading.
        folded: whether a page shows the heading alone until it is asked for more.
    """

    slug: str
    heading: str
    reading: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    summary: str = ""
    aside: str = ""
    folded: bool = False

    @property
    def grids(self) -> list[Grid]:
        """The tables, without those of sections within."""
        return [part for part in self.parts if isinstance(part, Grid)]

    @property
    def figures(self) -> Iterator[Chart]:
        """The figures, those of sections within included."""
        for part in self.parts:
            if isinstance(part, Chart):
                yield part
            elif isinstance(part, Section):
                yield from part.figures


Part = Prose | Grid | Chart | Facts | Missing | Section


@dataclass(frozen=True)
class Page:
    """One file: a title and sections.

    Attributes:
        slug: its name in addresses, without an ending.
        lead: what it is, in a few sentences.
    """

    slug: str
    title: str
    lead: str
    sections: tuple[Section, ...]


def numeric(found: Grid) -> list[bool]:
    """Whether a column holds numbers, column by column: most of its texts begin like one."""
    columns = zip(*(line.cells for line in found.lines), strict=True)
    return [_is_numeric([cell.text for cell in column]) for column in columns] or (
        [False] * len(found.headings)
    )


def _is_numeric(texts: Sequence[str]) -> bool:
    known = [text for text in texts if text not in ("", "–")]
    return 2 * sum(text[0] in _NUMBER for text in known) >= len(known)


def grid(names: Sequence[str], lines: Sequence[Line], name: str = "Row", caption: str = "") -> Grid:
    """A table without groups of columns."""
    return Grid((("", tuple(names)),), tuple(lines), name, caption)


def paragraph(text: str, tone: Tone = "") -> tuple[Prose, ...]:
    """The text as a part; nothing where there is none."""
    return (Prose((text,), tone),) if text else ()


def bullets(items: Sequence[str], tone: Tone = "", *, numbered: bool = False) -> tuple[Prose, ...]:
    """The texts as a list; nothing where there are none."""
    return (Prose(tuple(items), tone, numbered),) if items else ()

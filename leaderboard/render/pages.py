"""A page in HTML, with its plots beside it, in Markdown, and tables in a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, singledispatch
from itertools import groupby
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from leaderboard.model.section import (
    Cell,
    Chart,
    Facts,
    Grid,
    Line,
    Missing,
    Page,
    Part,
    Prose,
    Section,
    numeric,
)

# One file of HTML, with its plots beside it.


#: What a page says of its maker, by which the board knows its own files.
GENERATOR = "lethe leaderboard"


def render_html(
    page: Page, links: Sequence[tuple[str, str]] = (), glossary: Mapping[str, str] | None = None
) -> str:
    """The page as a file that needs no network.

    Args:
        page: what to show.
        links: titles and addresses of the pages beside it.
        glossary: what column headings mean, shown where one is pointed at.
    """
    return _template().render(
        page=page, links=links, glossary=glossary or {}, generator=GENERATOR, numeric=numeric
    )


@cache
def _template() -> Template:
    templates = Environment(
        loader=PackageLoader("leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["groupby_run"] = _groups
    return templates.get_template("page.html")


def _groups(lines: Iterable[Line]) -> list[tuple[str, list[Line]]]:
    """Neighbours under one heading."""
    return [(name, list(found)) for name, found in groupby(lines, key=lambda line: line.group)]


# Markdown, for reading where the repository is browsed.


# what may stand in an address as it is, within a Markdown table too
_IN_ADDRESS = "%/:?#@!$&'(*+,;=~"


def render_markdown(page: Page, links: Sequence[tuple[str, str]] = ()) -> str:
    """The page with a list of its sections at the top.

    Args:
        page: what to show.
        links: titles and addresses of the files beside it.
    """
    beside = " · ".join(f"[{escape(title)}]({address})" for title, address in links)
    contents = [f"- [{escape(s.heading)}](#{_address(s.heading)})" for s in page.sections]
    parts = [f"# {escape(page.title)}", escape(page.lead), beside]
    parts.append("\n".join(contents) if len(contents) > 1 else "")
    for section in page.sections:
        parts += _section(section, 2)
    return "\n\n".join(part for part in parts if part) + "\n"


def pipe_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of texts, the second with the marks of alignment, as lines of a table."""
    return "".join(_line(text.replace("|", "\\|") for text in row) + "\n" for row in rows)


def _section(section: Section, level: int) -> Iterable[str]:
    """The heading, how to read what follows, and the parts; a folded section has no heading."""
    aside = f" ({escape(section.aside)})" if section.aside else ""
    if section.folded:
        yield f"**{escape(section.heading)}**{aside}"
    else:
        yield f"{'#' * level} {escape(section.heading)}{aside}"
    yield _bullets(map(escape, section.reading))
    for part in section.parts:
        if isinstance(part, Section):
            yield from _section(part, level + 1)
        else:
            yield _part(part)


def _address(heading: str) -> str:
    """The address that code hosts give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@singledispatch
def _part(part: Part) -> str:
    """A part that is no section."""
    raise TypeError(f"Markdown has no {type(part).__name__}")


@_part.register
def _(part: Prose) -> str:
    if part.tone == "command":
        return "\n".join(["```sh", *part.items, "```"])
    texts = [escape(item) for item in part.items]
    if part.numbered:
        return "\n".join(f"{n}. {text}" for n, text in enumerate(texts, 1))
    return texts[0] if len(texts) == 1 else _bullets(texts)


@_part.register
def _(part: Facts) -> str:
    facts = _bullets(f"**{escape(name)}**: {escape(text)}" for name, text in part.pairs)
    return "\n\n".join(filter(None, [f"*{escape(part.name)}*" if part.name else "", facts]))


@_part.register
def _(part: Missing) -> str:
    command = f" `{part.command}`" if part.command else ""
    return f"*Missing:* {escape(part.text)}{command}"


@_part.register
def _(part: Chart) -> str:
    return f"![{escape(part.caption)}]({part.path})"


@_part.register
def _(part: Grid) -> str:
    marks = ["--:" if number else ":--" for number in numeric(part)]
    lines = [_line([part.name, *map(escape, part.headings)]), _line([":--", *marks])]
    for line in part.lines:
        lines.append(_line([_title(line), *map(_cell, line.cells)]))
    return "\n".join(lines)


def _title(line: Line) -> str:
    title = escape(line.title)
    if line.url.startswith("https://"):
        title = f"[{title}]({quote(line.url, safe=_IN_ADDRESS)})"
    remark = f"<br>*{escape(line.remark)}*" if line.remark else ""
    return f"{'🔴 ' if line.alarm else ''}{title}{remark}"


def _cell(cell: Cell) -> str:
    text = " ".join(escape(text) for text in (cell.text, cell.aside) if text)
    text = f"**{text}**" if cell.best else f"{text} ≈" if cell.tied else text
    return " ".join(filter(None, [text, f"**{escape(cell.alarm)}**" if cell.alarm else ""]))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line; what must not break stays unbroken."""
    line = re.sub(r"[^\S\N{NO-BREAK SPACE}]+", " ", text).strip()
    return re.sub(r"([\\|*_`\[\]~#])", r"\\\1", html.escape(line, quote=False))


# A table in a terminal.


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

"""A page as HTML: one file, with its plots beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from leaderboard.model.section import Line, Page, numeric

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

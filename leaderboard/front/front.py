"""Rendering of the front page; README.md beside this file says how it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rcssmin import cssmin
from rjsmin import jsmin

from benchmark.contract.definition import discover
from benchmark.errors import present
from leaderboard.front.data import VERDICTS_AT_FIRST, model_of, packed, payload, unpacked
from leaderboard.model import words
from leaderboard.model.numbers import number
from leaderboard.model.section import Part, Prose, Section
from leaderboard.model.table import Table, ordered, short
from leaderboard.overview.cells import COLUMNS, Line, cards, points
from leaderboard.overview.overview import RULE, Overview
from leaderboard.overview.row import OverviewRow, Track
from leaderboard.render.pages import GENERATOR

#: How the data begin in the page.
_DATA = '<script type="text/plain" id="data">'
_HERE = Path(__file__).parent
#: Columns that only one of the two views has.
_ROWS_ONLY, _METHODS_ONLY = {"problem"}, {"problems"}
#: The filters: the part of the address, its heading, and what a row has there.
FILTERS = {"model": "Model", "data": "Data", "request": "Request", "verdict": "Verdict"}
_REQUESTS = {"random": "random rows", "chosen": "chosen rows", "stream": "stream"}


def render_front(
    found: Overview,
    answers: Section,
    tables: Sequence[Table],
    results: str,
    studies: Sequence[Section] = (),
) -> str:
    """The page as one file; pages of problems and answers are beside it, in `site/`.

    Args:
        found: the overview of the tables.
        answers: one section a question, each with a summary.
        tables: every table that has a page.
        results: where the records lie, for the commands that run them again.
        studies: what is beside the experiments, each with a page of its own.
    """
    lines = default_lines(found)
    return (
        _templates()
        .get_template("page.html")
        .render(
            generator=GENERATOR,
            introduction=words.INTRODUCTION,
            rule=RULE,
            cards=cards(found),
            models=_models(found),
            columns=COLUMNS,
            methods_only=_METHODS_ONLY,
            rows_only=_ROWS_ONLY,
            tracks=[(track, members) for track in found.tracks if (members := lines.get(track))],
            problems=len(found.problems()),
            filters=_filters(found),
            grid=_grid(found),
            others=_others(found, tables),
            answers=[_folded(section) for section in answers.parts if isinstance(section, Section)],
            studies=studies,
            glossary=_glossary(),
            data=packed(payload(found, results)),
            results=results,
            style=Markup(cssmin(_file("page.css"))),
            script=Markup(jsmin(_file("page.js"))),
            component=Markup(_file("vendor/table-core.js")),
            licence=_file("vendor/LICENSE"),
        )
    )


def same_front(one: str, other: str) -> bool:
    """Whether two pages say the same; their data may be packed by different versions of zlib."""
    try:
        return _split(one) == _split(other)
    except ValueError:
        return False


def _split(page: str) -> tuple[str, Any, str]:
    """What stands before the data, the data, and what stands after."""
    before, _, rest = page.partition(_DATA)
    data, end, after = rest.partition("</script>")
    if not end:
        raise ValueError("the page has no data")
    return before, unpacked(data), after


def default_lines(found: Overview) -> dict[Track, list[Line]]:
    """The lines that the page shows at first: proved, accurate and over their control."""
    lines: dict[Track, list[Line]] = {}
    for standing in found.standings:
        rows = tuple(r for r in standing.rows if r.useful and r.row.verdict in VERDICTS_AT_FIRST)
        if rows:
            line = Line(standing, rows, standing.problems)
            lines.setdefault(standing.track, []).append(line)
    return lines


@dataclass(frozen=True)
class Chip:
    """One value of a filter.

    Attributes:
        pressed: whether it is chosen at first.
    """

    value: str
    title: str
    pressed: bool = False


def _filters(found: Overview) -> list[tuple[str, str, list[Chip]]]:
    """Each filter with its values, in the order of the rows or of the verdicts."""
    read: dict[str, Callable[[OverviewRow], tuple[str, str]]] = {
        "model": model_of,
        "data": lambda row: (row.data, row.data),
        "request": lambda row: (name := row.track.request.name.lower(), _REQUESTS[name]),
        "verdict": lambda row: (row.row.verdict, words.BADGES[row.row.verdict]),
    }
    orders: dict[str, list[str]] = {"verdict": list(words.BADGES), "request": list(_REQUESTS)}
    filters = []
    for key, heading in FILTERS.items():
        values = list(dict.fromkeys(read[key](row) for row in found.rows))
        if key in orders:
            values.sort(key=lambda pair: orders[key].index(pair[0]))
        chips = [
            Chip(value, title, pressed=key == "verdict" and value in VERDICTS_AT_FIRST)
            for value, title in values
        ]
        filters.append((key, heading, chips))
    return filters


def _models(found: Overview) -> dict[str, str]:
    """By family, its models as the address has them."""
    models: dict[str, dict[str, None]] = {}
    for row in found.rows:
        models.setdefault(row.track.family.key, {})[model_of(row)[0]] = None
    return {key: ",".join(names) for key, names in models.items()}


@dataclass(frozen=True)
class Problem:
    """A problem and what serves it best."""

    slug: str
    title: str
    request: str
    method: str
    speed: str
    gap: str


def _grid(found: Overview) -> list[tuple[str, list[Problem]]]:
    """Every problem with its fastest ranked row, by data set."""
    groups: dict[str, list[Problem]] = {}
    rows = {row.table.slug: row for row in found.rows}
    for row in sorted(rows.values(), key=_plainest):
        table = row.table
        groups.setdefault(row.data, []).append(_problem(row, found.fastest(table)))
    return list(groups.items())


def _plainest(row: OverviewRow) -> tuple:
    """By data set; linear models first, and small requests before large ones and streams."""
    facts = row.table.known
    place = row.track.order[-2:]
    return row.data, not facts.linear, row.problem, *place, facts.forgotten or 0, row.request


def _problem(any_row: OverviewRow, best: OverviewRow | None) -> Problem:
    title = any_row.problem.removeprefix(f"{any_row.data}, ")
    epsilon = any_row.track.epsilon
    request = any_row.request + ("" if epsilon == 1 else f", ε = {epsilon:g}")
    if best is None:
        return Problem(any_row.table.slug, title, request, "", "", "")
    speed, gap = number(present(best.speedup).mean), points(present(best.gap).mean)
    return Problem(any_row.table.slug, title, request, best.row.title, speed, gap)


def _others(found: Overview, tables: Sequence[Table]) -> list[tuple[str, str]]:
    """Pages of tables that vary a setting of a problem: their name in addresses and their title.

    Those of graphs are named by the answer on graphs.
    """
    known = {table.slug for table in found.problems()}
    known |= {table.slug for table in tables if table.facts and table.facts.graph}
    return [
        (table.slug, f"{words_of(table)}") for table in ordered(tables) if table.slug not in known
    ]


def words_of(table: Table) -> str:
    """Data set and title."""
    name = table.facts.data_title if table.facts else ""
    return ", ".join(filter(None, [name, short(table)]))


@dataclass(frozen=True)
class Folded:
    """A question with its answer in a line, and lists of what else the records say.

    Attributes:
        lists: each with its heading, which may be "".
    """

    slug: str
    question: str
    line: str
    lists: tuple[tuple[str, tuple[str, ...]], ...]


def _folded(section: Section) -> Folded:
    """The section's prose, and that of folds within; what the line says is not said twice."""
    lists = []
    for heading, parts in [("", section.parts), *_folds(section)]:
        found = [text for p in parts if isinstance(p, Prose) for text in p.items]
        if items := tuple(text for text in found if text != section.summary):
            lists.append((heading, items))
    return Folded(section.slug, section.heading, section.summary, tuple(lists))


def _folds(section: Section) -> list[tuple[str, tuple[Part, ...]]]:
    return [(part.heading, part.parts) for part in section.parts if isinstance(part, Section)]


def _glossary() -> dict[str, str]:
    """What the page's terms mean, by the term as it is written."""
    verdicts = {words.BADGES[name]: text for name, text in words.VERDICTS.items()}
    definitions = {one.title: one.words for one in discover().values()}
    return {
        **verdicts,
        **definitions,
        "violated": words.VIOLATED,
        "erases the model": "The same algorithm with the same noise, started from zero weights, "
        "does as well: the 95 % interval of what the row has over it reaches down to 0.",
    }


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")

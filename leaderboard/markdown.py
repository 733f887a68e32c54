"""The board as Markdown, for reading where the repository is browsed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from benchmark.contract.definition import discover
from leaderboard import answers, audits, inverse_hessian, quality, solvers, words
from leaderboard.answers.answer import Answer
from leaderboard.charts import BenchSection, Chart
from leaderboard.columns import COLUMNS, COST, FORGETTING, GUARANTEE, UTILITY, Column
from leaderboard.contents import by_data_set, ordered, short
from leaderboard.details import data, environment
from leaderboard.grid import Grid
from leaderboard.ranking import Mark, in_order, marks
from leaderboard.sections import Sections
from leaderboard.shown import NOTHING, certified, failures, remarks, seeds, shown
from leaderboard.table import Row, Table, filled

_Marks = Mapping[tuple[str, str], Mark]

_NONE = Sections()
_SLACK = "How slack the bounds are"
_WORDS = "What the words mean"
# what may stand in an address as it is, within a Markdown table too
_IN_ADDRESS = "%/:?#@!$&'(*+,;=~"


def render_markdown(
    tables: list[Table],
    charts: Mapping[str, list[Chart]],
    sections: Sections = _NONE,
) -> str:
    """The answers, all tables with their plots and footnotes, then what the words mean.

    Args:
        tables: what to show.
        charts: by a table's slug.
        sections: what stands beside the tables.
    """
    parts = ["# Leaderboard", words.INTRODUCTION]
    parts.append(
        "The same board with every claim in full and more numbers on each row: "
        "[index.html](index.html). Every number, raw: [board.csv](board.csv)."
    )
    parts.append(_contents(tables, sections))
    if sections.answers:
        parts += _answers(sections.answers)
    parts += ["## How to read a row", _bullets(words.READING)]
    for table in ordered(tables):
        parts += _section(table, charts[table.slug])
    parts += _studies(sections)
    parts += _glossary()
    return "\n\n".join(part for part in parts if part) + "\n"


def _contents(tables: Iterable[Table], sections: Sections) -> str:
    """A link to every section, and a line of links to its tables for every data set."""
    headings = [answers.HEADING] if sections.answers else []
    headings += ["How to read a row", *_studied(sections), _WORDS]
    items = [f"- {_link(heading, heading)}" for heading in headings]
    asked = [f"  - {_link(a.question, a.question)}" for a in sections.answers]
    experiments = [
        f"- {_escape(name)}: {' · '.join(_link(short(table), _heading(table)) for table in found)}"
        for name, found in by_data_set(tables).items()
    ]
    return "\n".join([*items[:1], *asked, *items[1:], *experiments])


def _link(text: str, heading: str) -> str:
    """By the address that the heading gets where Markdown is shown."""
    return f"[{_escape(text)}](#{_address(heading)})"


def _heading(table: Table) -> str:
    return f"{table.title} ({table.device})"


def _address(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _answers(found: Iterable[Answer]) -> Iterable[str]:
    """Question by question: the numbers in words, what is missing, a table, plots."""
    yield f"## {answers.HEADING}"
    yield answers.READING
    for answer in found:
        yield f"### {_escape(answer.question)}"
        yield _escape(answer.text)
        yield _missing(answer)
        yield "\n".join(_grid(answer.grid, answer.lines)) if answer.grid else ""
        yield from map(_image, answer.charts)


def _missing(answer: Answer) -> str:
    command = f" `{answer.command}`" if answer.command else ""
    return f"*Missing:* {_escape(answer.missing)}{command}" if answer.missing else ""


def _studied(sections: Sections) -> list[str]:
    """Headings of the studies that there are records of."""
    found = {
        quality.HEADING: sections.quality,
        _SLACK: sections.slack,
        audits.HEADING: sections.audit,
        inverse_hessian.HEADING: sections.inverse,
        solvers.HEADING: sections.bench,
    }
    return [heading for heading, section in found.items() if section]


def _studies(sections: Sections) -> Iterable[str]:
    if sections.quality:
        yield from _forgotten(sections.quality)
    if slack := sections.slack:
        yield from (f"## {_SLACK}", _escape(slack.reading), _image(slack.chart))
    for module, grid, name in (
        (audits, sections.audit, "Row"),
        (inverse_hessian, sections.inverse, "Solver"),
    ):
        if grid:
            yield from (f"## {module.HEADING}", _bullets(map(_escape, module.READING)))
            yield "\n".join(_grid(grid, name))
    if sections.bench:
        yield from _bench(sections.bench)


def _section(table: Table, charts: list[Chart]) -> list[str]:
    best = marks(table)
    rows = in_order(table)
    settings = [f"{name}: {text}" for name, text in sorted(table.settings.items())]
    facts = [f"{name}: {text}" for name, text in data(table) + environment(table)]
    return [
        f"## {_escape(_heading(table))}",
        _escape(table.description),
        _escape("; ".join(settings)) + "." if settings else "",
        "\n".join(_quality(rows, filled(table, UTILITY + FORGETTING), best)),
        "\n".join(_cost(rows, filled(table, GUARANTEE + COST), best)),
        _bullets(_escape(note) for note in _footnotes(table, rows)),
        *map(_image, charts),
        _escape("; ".join(facts)) + "." if facts else "",
    ]


def _quality(rows: list[Row], columns: tuple[Column, ...], best: _Marks) -> Iterable[str]:
    """What is claimed, and how near the answer is to retraining."""
    yield _line(["Method", "Verdict", "Claimed (ε, δ)", *_headings(columns), "Seeds"])
    yield _line([":--", ":--", ":--", *["--:"] * len(columns), ":--"])
    for row in rows:
        statement = certified(row)
        pair = NOTHING
        if statement:
            pair = f"({statement.epsilon}, {statement.delta})<br>{statement.kind}"
        numbers = _numbers(row, columns, best)
        yield _line([_name(row), _verdict(row), pair, *numbers, _seeds(row)])


def _cost(rows: list[Row], columns: tuple[Column, ...], best: _Marks) -> Iterable[str]:
    """How good the bound is, and what the answer costs."""
    yield _line(["Method", *_headings(columns)])
    yield _line([":--", *["--:"] * len(columns)])
    for row in rows:
        yield _line([_name(row), *_numbers(row, columns, best)])


def _name(row: Row) -> str:
    method = row.found[0].method if row.found else None
    title = _escape(row.title)
    if method and method.url.startswith("https://"):
        title = f"[{title}]({quote(method.url, safe=_IN_ADDRESS)})"
    return title if row.role == "entry" else f"{title}<br>*{row.role}*"


def _verdict(row: Row) -> str:
    if row.void:
        return f"**{row.void}**"
    badge = words.BADGES[row.verdict]
    return f"{badge}<br>🔴 **violated**" if row.violations else badge


def _seeds(row: Row) -> str:
    return seeds(row) if row.complete else f"**{seeds(row)}**"


def _numbers(row: Row, columns: Iterable[Column], best: _Marks) -> Iterable[str]:
    for column in columns:
        text = shown(row, column, best.get((column.key, row.label), ""))
        yield {"best": f"**{text.line}**", "tied": f"{text.line} ≈"}.get(text.mark, text.line)


def _footnotes(table: Table, rows: list[Row]) -> Iterable[str]:
    yield from remarks(table)
    for row in rows:
        for seed, texts in row.violations.items():
            yield f"{row.title}, seed {seed}: violated, {'; '.join(texts)}."
        for seed, error in failures(row).items():
            yield f"{row.title}, seed {seed}: failed, {error}"
        if row.missing:
            yield f"{row.title}: missing, seeds {', '.join(map(str, row.missing))}."


def _forgotten(sections: Iterable[quality.QualitySection]) -> Iterable[str]:
    """Forget quality, experiment by experiment."""
    yield f"## {quality.HEADING}"
    yield _bullets(map(_escape, quality.READING))
    for section in sections:
        yield f"### {_escape(section.title)}"
        yield "\n".join(_grid(section.grid, "Row"))
        yield _escape(section.facts)
        yield _bullets(map(_escape, section.notes))
        yield from map(_image, section.charts)


def _bench(bench: BenchSection) -> Iterable[str]:
    """The solvers' tables, system by system, then the plots."""
    yield f"## {solvers.HEADING}"
    yield _bullets(map(_escape, solvers.READING))
    for table in bench.tables:
        yield f"### {_escape(table.title)} ({_escape(table.device)})"
        yield f"*Missing:* {solvers.MISSING} `{table.command}`" if table.command else ""
        for grid, name in ((table.solvers, "Solver"), (table.operators, "One pass")):
            yield "\n".join(_grid(grid, name)) if grid else ""
        yield _bullets(map(_escape, table.notes))
        facts = "; ".join(f"{name}: {text}" for name, text in table.facts)
        yield _escape(facts) + "." if facts else ""
    yield from map(_image, bench.charts)


def _grid(grid: Grid, name: str) -> Iterable[str]:
    yield _line([name, *map(_escape, grid.headings)])
    yield _line([":--", *["--:"] * len(grid.headings)])
    for line in grid.lines:
        cells = [f"**{cell.text}**" if cell.best else cell.text for cell in line.cells]
        yield _line([_escape(line.title), *cells])


def _image(chart: Chart) -> str:
    return f"![{_escape(chart.caption)}]({chart.path})"


def _glossary() -> list[str]:
    return [
        f"## {_WORDS}",
        words.ORDER,
        words.BEST,
        "### Yardsticks",
        _bullets(f"**{name}**: {text}." for name, text in words.YARDSTICKS.items()),
        "### Verdicts",
        _bullets(f"**{words.BADGES[name]}**: {text}" for name, text in words.VERDICTS.items()),
        f"**violated**: {words.VIOLATED}",
        "### Definitions",
        _bullets(
            f"**{_escape(one.title)}** (`{name}`): {_escape(one.words)} {_escape(one.source)}."
            for name, one in discover().items()
        ),
        "### Guarantees",
        _bullets(f"**{name}**: {_escape(text)}" for name, text in words.GUARANTEES.items()),
        "### Columns",
        _bullets(f"**{column.header}**: {_escape(column.meaning)}" for column in COLUMNS),
    ]


def _headings(columns: Iterable[Column]) -> Iterable[str]:
    return (column.heading for column in columns)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\|*_`\[\]~#])", r"\\\1", html.escape(" ".join(text.split()), quote=False))

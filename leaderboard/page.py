"""The board as one static page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmark.contract.definition import discover
from leaderboard import answers, audits, inverse_hessian, quality, solvers, words
from leaderboard.charts import Chart
from leaderboard.columns import COLUMNS, GROUPS
from leaderboard.contents import by_data_set, ordered, short
from leaderboard.details import aside, claim_detail, command, data, environment, phases, seconds
from leaderboard.numbers import number
from leaderboard.ranking import Mark, entries, marks, yardsticks
from leaderboard.sections import Sections
from leaderboard.shown import certified, failures, remarks, seeds, shown
from leaderboard.table import Row, Table, filled

_NONE = Sections()


def render_page(
    tables: list[Table],
    charts: Mapping[str, list[Chart]],
    sections: Sections = _NONE,
    results: str = "leaderboard/results",
) -> str:
    """The page of all tables; plots are beside it, everything else is in it.

    Args:
        tables: what to show.
        charts: by a table's slug.
        sections: what stands beside the tables.
        results: where the records lie, for the commands that run them again.
    """
    templates = Environment(
        loader=PackageLoader("leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = number
    return templates.get_template("index.html").render(
        tables=[_table(table, charts[table.slug], results) for table in ordered(tables)],
        data_sets=by_data_set(tables),
        short=short,
        columns=COLUMNS,
        words=words,
        definitions=discover(),
        sections=sections,
        answers=answers,
        audits=audits,
        inverse_hessian=inverse_hessian,
        quality=quality,
        solvers=solvers,
    )


def _table(table: Table, charts: list[Chart], results: str) -> dict[str, Any]:
    best = marks(table)
    groups = {name: filled(table, members) for name, members in GROUPS.items()}
    sections = {"Yardsticks": yardsticks(table), "Entries": entries(table)}
    return {
        "slug": table.slug,
        "experiment": table.experiment,
        "title": table.title,
        "device": table.device,
        "description": table.description,
        "settings": sorted(table.settings.items()),
        "data": data(table),
        "environment": environment(table),
        "sections": {
            name: [
                _row(row, best, f"{table.slug}-{name.lower()}-{i}")
                | {"command": command(table, row, results)}
                for i, row in enumerate(rows)
            ]
            for name, rows in sections.items()
            if rows
        },
        "groups": groups,
        "columns": [column for members in groups.values() for column in members],
        "starts": {members[0].key for members in list(groups.values())[1:] if members},
        "remarks": remarks(table),
        "charts": charts,
    }


def _row(row: Row, best: Mapping[tuple[str, str], Mark], anchor: str) -> dict[str, Any]:
    method = row.found[0].method if row.found else None
    # an entry point may come from anywhere: no address but a web page's becomes a link
    url = method.url if method and method.url.startswith(("https://", "http://")) else ""
    return {
        "anchor": anchor,
        "label": row.label,
        "title": row.title,
        "role": row.role,
        "void": row.void,
        "complete": row.complete,
        "verdict": row.verdict,
        "violations": row.violations,
        "seeds": seeds(row),
        "missing": row.missing,
        "failures": failures(row),
        "certified": certified(row),
        "numbers": {c.key: shown(row, c, best.get((c.key, row.label), "")) for c in COLUMNS},
        "paper": method.paper if method else "",
        "url": url,
        "params": _params(method.params) if method else [],
        "phases": phases(row),
        "claim": claim_detail(row),
        "aside": aside(row),
        "seconds": seconds(row),
    }


def _params(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """By name; what is None the method chooses itself."""
    return [(name, "not set" if v is None else v) for name, v in sorted(params.items())]

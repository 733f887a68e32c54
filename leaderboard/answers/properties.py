"""Is a certified property still there after unlearning?"""

from __future__ import annotations

from collections.abc import Iterator

from leaderboard.answers.answer import Answer, counted, mean, unanswered
from leaderboard.model.numbers import number
from leaderboard.model.properties import HAS, contradicted, kept, shares, verdicts
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import PROPERTIES, Evidence, Row, Table, tables_of

ORDER = 140
SLUG = "answer-properties"
QUESTION = "Is a certified property still there after unlearning?"
COMMAND = "make properties RESULTS=leaderboard/results"

_COLUMNS = (
    "enforced",
    "original",
    "retrained",
    "rows that have it after",
    "rows that lost it",
    "rows of which it is unknown",
    "least margin",
    "certified again in (s)",
    "kept under the noise, predicted",
    "price (points)",
)


def answer(evidence: Evidence) -> Answer:
    """A line for each experiment, and for each way of enforcing its property."""
    tables = [t for t in tables_of(evidence.tables, PROPERTIES) if _rows(t)]
    if not tables:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        short=_short(tables),
        points=tuple(_points(tables)),
        notes=(
            "A row lost it if its original had it on a seed on which the release is violated. It "
            "is unknown where the budget did not suffice.",
            "Which inputs have a sign was declared for each experiment: a choice, not a finding. "
            "No data set is endorsed for judging people.",
        ),
        lines="Experiment",
        grid=grid(_COLUMNS, [_line(table, tables) for table in tables]),
    )


def _rows(table: Table) -> list[Row]:
    """The entries that say what became of a property."""
    return [row for row in entries(table) if kept(row)]


def _has(row: Row, part: str = "after") -> bool:
    return all(getattr(one, part).verdict in HAS for one in kept(row).values())


def _with(table: Table, verdict: str) -> list[Row]:
    """Rows whose original had it on a seed on which the release has that verdict."""
    return [
        row
        for row in _rows(table)
        if any(
            one.before.verdict in HAS and one.after.verdict == verdict for one in kept(row).values()
        )
    ]


def _short(tables: list[Table]) -> str:
    free = [table for table in tables if _enforced(table) == "never"]
    lost, unknown = (
        sum(len(_with(table, verdict)) for table in free) for verdict in ("violated", "unknown")
    )
    forced = [row for table in tables if _enforced(table) != "never" for row in _rows(table)]
    kept_it = sum(map(_has, forced))
    every = counted(sum(len(_rows(table)) for table in free), "row")
    parts = [f"Where nothing is enforced, {lost} of {every} lost it, {unknown} unknown."]
    if forced:
        parts.append(f"Projected onto a declared set, {kept_it} of {len(forced)} rows have it.")
    return " ".join(parts)


def _points(tables: list[Table]) -> Iterator[str]:
    """Points on what had nothing to lose, and what contradicts its enforcement."""
    yield from _never_had(tables)
    wrong = sum(contradicted(row) for table in tables for row in _rows(table))
    if wrong:
        yield f"{counted(wrong, 'row')} violate what was enforced: a defect."


def _never_had(tables: list[Table]) -> list[str]:
    """A sentence on originals that violate it from the start, where rows are not judged singly."""
    found = [
        one.before
        for table in tables
        if _enforced(table) == "never"
        for row in _rows(table)
        for one in kept(row).values()
        if one.before.share is None
    ]
    without = sum(one.verdict == "violated" for one in found)
    if not without:
        return []
    return [
        f"{without} of {len(found)} originals violate it before any request, counted row by row "
        "and seed by seed: they have nothing to lose."
    ]


def _enforced(table: Table) -> str:
    return table.known.enforce or "never"


def _line(table: Table, tables: list[Table]) -> Line:
    rows = _rows(table)
    found = [one for row in rows for one in kept(row).values()]
    margins = [one.after.margin for one in found if one.after.margin is not None]
    survival = [one.survival for one in found if one.survival is not None]
    seconds = [one.after.seconds for one in found]
    return Line(
        table.title,
        "",
        (
            Cell(_enforced(table)),
            Cell(verdicts([one.before for one in found])),
            Cell(verdicts([one.retrained for one in found])),
            Cell(f"{sum(map(_has, rows))} of {len(rows)}"),
            Cell(_titles(_with(table, "violated"))),
            Cell(_titles(_with(table, "unknown"))),
            Cell(number(min(margins)) if margins else NOTHING),
            Cell(number(max(seconds))),
            Cell(shares(survival)),
            Cell(_price(table, tables)),
        ),
        alarm=any(map(contradicted, rows)),
    )


def _titles(rows: list[Row]) -> str:
    return ", ".join(row.title for row in rows) or "none"


def _price(table: Table, tables: list[Table]) -> str:
    """Test accuracy that enforcing costs, a mean over the rows that both have."""
    free = [t for t in tables if t.known.study == table.known.study and _enforced(t) == "never"]
    base = next((t for t in free if t.known.profile is None), None)
    if base is None or _enforced(table) == "never":
        return NOTHING
    theirs = {row.label: mean(row, "accuracy_test") for row in base.rows}
    pairs = [(mean(row, "accuracy_test"), theirs.get(row.label)) for row in table.rows]
    costs = [there - here for here, there in pairs if here is not None and there is not None]
    return number(sum(costs) / len(costs)) if costs else NOTHING

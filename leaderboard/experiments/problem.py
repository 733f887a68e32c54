"""Page of an experiment on the board, and its rows in a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from leaderboard.experiments.details import (
    aside,
    claim_parts,
    command,
    data,
    environment,
    phases,
    seconds,
)
from leaderboard.model import properties
from leaderboard.model.columns import BY_KEY, GROUPS, TARGET_UNITS, TEST_GAP, Column
from leaderboard.model.numbers import number
from leaderboard.model.ranking import Mark, entries, in_order, marks, yardsticks
from leaderboard.model.section import (
    Cell,
    Chart,
    Facts,
    Grid,
    Line,
    Page,
    Part,
    Prose,
    Section,
    bullets,
    grid,
    paragraph,
)
from leaderboard.model.shown import (
    NOTHING,
    certified,
    erases_the_model,
    failures,
    remarks,
    seeds,
    shown,
)
from leaderboard.model.shown import seeds as seeds_of
from leaderboard.model.table import Row, Table, filled
from leaderboard.model.words import BADGES

# An experiment's page: the table, footnotes, plots, every claim in full, the setting.

_Marks = Mapping[tuple[str, str], Mark]


def problem_page(table: Table, charts: Sequence[Chart], results: str) -> Page:
    """Everything that the board has of a table.

    Args:
        table: what to show.
        charts: of the table.
        results: where the records lie, for the commands that run them again.
    """
    rows = [_in_full(table, row, results) for row in in_order(table)]
    setting = (
        Facts(tuple(sorted(table.settings.items())), "Experiment"),
        Facts(tuple(data(table)), "Data"),
        Facts(tuple(environment(table)), "Environment"),
    )
    return Page(
        slug=table.slug,
        title=f"{table.title} ({table.device})",
        lead=table.description,
        sections=(
            Section("results", "Results", parts=(results_grid(table), *_footnotes(table))),
            *properties.sections(table),
            *([Section("plots", "Plots", parts=tuple(charts))] if charts else []),
            Section("rows", "Each row in full", parts=tuple(rows)),
            Section("setting", "Setting", parts=tuple(f for f in setting if f.pairs)),
        ),
    )


# --- the table ---------------------------------------------------------------------------------


def results_grid(table: Table) -> Grid:
    """The rows with all numbers, under the headings that columns share."""
    best = marks(table)
    groups = {name: filled(table, members) for name, members in GROUPS.items()}
    columns = [column for members in groups.values() for column in members]
    unit = (table.facts.number if table.facts is not None else None) or TARGET_UNITS
    names = {
        name: tuple(column.heading.replace(TARGET_UNITS, unit) for column in group)
        for name, group in groups.items()
    }
    names["Guarantee"] = ("Claimed (ε, δ)", *names["Guarantee"])
    lines = [
        _line(row, name, columns, best)
        for name, rows in (("Yardsticks", yardsticks(table)), ("Entries", entries(table)))
        for row in rows
    ]
    return Grid(
        (("", ("Verdict",)), *(pair for pair in names.items() if pair[1]), ("", ("Seeds",))),
        tuple(lines),
        "Method",
        "Mean over seeds ± half-width of the 95 % interval. Bold: best entry. ≈: tied with the "
        "best.",
    )


def _line(row: Row, group: str, columns: Sequence[Column], best: _Marks) -> Line:
    return Line(
        title=row.title,
        remark="" if row.role == "entry" else row.role,
        cells=(
            verdict_cell(row),
            _claimed(row),
            *(number_cell(row, column, best) for column in columns),
            seeds_cell(row),
        ),
        url=web_page(row),
        anchor=anchor(row),
        alarm=bool(row.violations),
        group=group,
    )


def anchor(row: Row) -> str:
    """Slug of the section that has the row in full."""
    return f"row-{row.label}"


def web_page(row: Row) -> str:
    """Address of the method's paper; an entry point may give anything, links lead to the web."""
    url = row.found[0].method.url if row.found else ""
    return url if url.startswith(("https://", "http://")) else ""


def verdict_cell(row: Row) -> Cell:
    """The verdict, with a warning where something refutes it or the row erases the model."""
    if row.void:
        return Cell(row.void, badge=row.void)
    alarm = "violated" if row.violations else "erases the model" if erases_the_model(row) else ""
    return Cell(BADGES[row.verdict], badge=row.verdict, alarm=alarm)


def _claimed(row: Row) -> Cell:
    claimed = certified(row)
    if claimed is None:
        return Cell(NOTHING)
    return Cell(f"({claimed.epsilon}, {claimed.delta})", aside=claimed.kind)


def number_cell(row: Row, column: Column, best: _Marks) -> Cell:
    """A row's number in a column, with its interval and how it compares."""
    value = shown(row, column, best.get((column.key, row.label), ""))
    aside = f"({value.remark})" if value.remark else ""
    return Cell(
        value.mean,
        best=value.mark == "best",
        tied=value.mark == "tied",
        aside=" ".join(filter(None, [value.spread, aside])),
        alarm=value.count,
    )


def seeds_cell(row: Row) -> Cell:
    """How many of the planned seeds there are."""
    text = seeds_of(row)
    return Cell(text) if row.complete else Cell("", alarm=text)


# --- below the table ---------------------------------------------------------------------------


def _footnotes(table: Table) -> tuple[Prose, ...]:
    """What a reader must know before comparing rows: one footnote a kind."""
    return bullets([*remarks(table), *_lost(table)], "quiet", numbered=True)


def _lost(table: Table) -> Iterator[str]:
    """What is violated, failed or missing, and on which seeds."""
    failed: dict[str, list[str]] = defaultdict(list)
    missing = []
    for row in in_order(table):
        for seed, texts in row.violations.items():
            yield f"{row.title}, seed {seed}: violated, {'; '.join(texts)}."
        for seed, error in failures(row).items():
            failed[error].append(f"{row.title}, seed {seed}")
        if row.missing:
            missing.append(f"{row.title}, seeds {', '.join(map(str, row.missing))}")
    for error, places in failed.items():
        yield f"Failed: {error} ({'; '.join(places)})."
    if missing:
        yield f"Missing: {'; '.join(missing)}."


def _in_full(table: Table, row: Row, results: str) -> Section:
    """A row's claim, what was measured besides, and how to run it again."""
    method = row.found[0].method if row.found else None
    beside = (
        Facts(tuple(aside(row)), "Measured besides, means over seeds"),
        Facts(tuple(_params(method.params)) if method else (), "Parameters"),
        Facts(tuple(phases(row)), "Phases, mean seconds"),
    )
    parts: tuple[Part, ...] = (
        *bullets(_alarms(row), "alarm"),
        *paragraph(method.paper if method else ""),
        *claim_parts(row),
        *(facts for facts in beside if facts.pairs),
        *_again(table, row, results),
    )
    lacking = "" if row.complete else seeds_of(row)
    verdict = verdict_cell(row)
    words = ", ".join(filter(None, [verdict.text, verdict.alarm, lacking]))
    return Section(anchor(row), row.title, parts=parts, aside=words, folded=True)


def _alarms(row: Row) -> list[str]:
    found = [
        f"Violated on seed {seed}: {'; '.join(texts)}." for seed, texts in row.violations.items()
    ]
    if row.missing:
        found.append(f"Missing: seed {', '.join(map(str, row.missing))}.")
    return [*found, *(f"Failed, seed {seed}: {e}" for seed, e in failures(row).items())]


def _again(table: Table, row: Row, results: str) -> tuple[Prose, ...]:
    """The command that reproduces the row, and how long its record took."""
    line, spent = command(table, row, results), seconds(row)
    if not line:
        return ()
    times = f"The record's own times: {spent}. Scoring comes on top." if spent else ""
    return (*paragraph(line, "command"), *paragraph(times, "quiet"))


def _params(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters by name; what is None the method chooses itself."""
    return [(name, "not set" if v is None else str(v)) for name, v in sorted(params.items())]


_COMPACT = tuple(BY_KEY[key] for key in ("attack_gap", "slack", "unlearn", "speedup"))
# the others are means alone: there is no room for every interval
_WITH_SPREAD = ("accuracy_test_gap", "r2_test_gap", "attack_gap")
_CAPTION = (
    "Means over seeds, gaps with the half-width of their 95 % interval. Bold: best entry, "
    "≈: tied with it."
)


def compact(table: Table, labels: Collection[str] | None = None) -> Section | None:
    """The rows of these labels, or all; None if there are none.

    What is best is so among all rows of the table.
    """
    best = marks(table)
    of_number = table.facts is not None and table.facts.number is not None
    columns = (BY_KEY["r2_test_gap"] if of_number else TEST_GAP, *_COMPACT)
    lines = [
        _compact_line(row, group, columns, best)
        for group, rows in (("Yardsticks", yardsticks(table)), ("Entries", entries(table)))
        for row in rows
        if labels is None or row.label in labels
    ]
    if not lines:
        return None
    names = ("Verdict", *(column.heading for column in columns), "Seeds")
    parts = (grid(names, lines, "Method", _CAPTION),)
    return Section(table.slug, table.title, parts=parts, aside=table.device)


def _compact_line(row: Row, group: str, columns: Sequence[Column], best: _Marks) -> Line:
    verdict = verdict_cell(row)
    text = seeds(row).replace(" seeds", "")
    count = Cell(text) if row.complete else Cell("", alarm=text)
    numbers = (_number(row, column, best) for column in columns)
    alarm = bool(row.violations or row.void)
    return Line(row.title, "", (verdict, *numbers, count), alarm=alarm, group=group)


def _number(row: Row, column: Column, best: _Marks) -> Cell:
    cell = replace(number_cell(row, column, best), alarm="")
    estimate = row.estimate(column)
    if estimate is None or column.key in _WITH_SPREAD:
        return cell
    return replace(cell, text=number(estimate.mean, 2), aside="")

"""The page that a code host shows: answers first, then what they rest on, and what words mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.contract.definition import discover
from benchmark.errors import present
from leaderboard.model import words
from leaderboard.model.columns import COLUMNS
from leaderboard.model.numbers import number, span
from leaderboard.model.section import (
    Cell,
    Chart,
    Facts,
    Line,
    Page,
    Part,
    Prose,
    Section,
    grid,
    paragraph,
)
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Table, ordered
from leaderboard.model.words import BADGES, INTRODUCTION
from leaderboard.overview.cells import cards
from leaderboard.overview.overview import RULE, Overview, Standing, speedup, worst_gap
from leaderboard.overview.row import NUMBER, OverviewRow

HEADING = "What the words mean"


def column_meanings() -> dict[str, str]:
    """What each column's heading stands for."""
    return {column.heading: column.meaning for column in COLUMNS} | {
        "Verdict": " ".join(f"{words.BADGES[v]}: {text}" for v, text in words.VERDICTS.items())
    }


def reading() -> Section:
    """How to read a row of a table."""
    return Section("reading", "How to read a row", parts=(Prose(words.READING),))


def glossary(*, columns: bool = True) -> Section:
    """The terms that tables use, group by group.

    Args:
        columns: whether those of the problems' pages are among them.
    """
    verdicts = {words.BADGES[name]: text for name, text in words.VERDICTS.items()}
    definitions = {
        f"{one.title} ({name})": f"{one.words} {one.source}." for name, one in discover().items()
    }
    provenances = {str(name): text for name, text in words.PROVENANCES.items()}
    groups: dict[str, Mapping[str, str]] = {
        "Yardsticks": words.YARDSTICKS,
        "Verdicts": verdicts | {"violated": words.VIOLATED},
        "Definitions": definitions,
        "Guarantees": words.GUARANTEES,
        "Where a constant comes from": provenances,
    }
    if columns:
        groups["Columns"] = {column.header: column.meaning for column in COLUMNS}
    sections = (
        Section(f"words-{place}", name, parts=(Facts(tuple(found.items())),))
        for place, (name, found) in enumerate(groups.items(), 1)
    )
    return Section("words", HEADING, parts=(Prose((words.ORDER, words.BEST)), *sections))


# The page that a code host shows: answers first, then what they rest on in short.

_IN_FULL = (
    "“make leaderboard” generates the rest from the records into site/, which is not committed: "
    "every answer with its table and plots, and a page for each problem with all numbers, plots "
    "and certificates."
)
_RANKED = (
    "rank",
    "verdict",
    "ε",
    "speed-up (×)",
    "one-off cost (s)",
    "break-even (requests)",
    "worst test gap (points)",
    "problems",
)
_COVERAGE = (
    "Problems, k of n: k of the track's n problems have a row of the method that counts in the "
    "ranking, or any row where none does. Methods of one rank are tied. Unranked methods follow, "
    "by verdict and by the points they lose."
)

_NUMBERS = "Heads that predict a number are ranked by R² in index.html."


def readme(
    found: Overview,
    answers: Section,
    studies: Sequence[Section],
    figures: Sequence[Chart],
) -> Page:
    """The page.

    Args:
        found: the overview of all tables.
        answers: one section a question.
        studies: what is beside the experiments.
        figures: what is shown at the end of the answers.
    """
    return Page(
        "README",
        "Leaderboard",
        INTRODUCTION,
        (
            *cards_section(found),
            _overview(found),
            Section(
                answers.slug,
                answers.heading,
                (*answers.reading, _IN_FULL),
                _short(answers, figures),
            ),
            *_beside(studies),
            *_problems(found),
            reading(),
            glossary(columns=False),
        ),
    )


def cards_section(found: Overview, *, because: bool = True, caption: str = "") -> list[Section]:
    """Answers for every kind of model, a line each, with or without a reason; none of no table."""
    names = ("use", "speed-up", "because")[: 3 if because else 2]
    lines = [
        Line(
            card.case,
            "",
            (Cell(card.answer), Cell(card.figure or NOTHING), Cell(card.text))[: len(names)],
        )
        for card in cards(found)
    ]
    parts = (grid(names, lines, "You have", caption),)
    return [Section("cards", "What to use", parts=parts)] if lines else []


def _overview(found: Overview) -> Section:
    """A table for each track, ranked."""
    shown = [track for track in found.tracks if track.family.key != NUMBER]
    tables = tuple(
        Section(track.slug, track.title, parts=(_ranked(found.of_track(track)),)) for track in shown
    )
    rest = () if len(shown) == len(found.tracks) else (_NUMBERS,)
    return Section("overview", "Every method, ranked", (RULE, _COVERAGE, *rest), tables)


def _ranked(standings: Sequence[Standing]) -> Part:
    return grid(_RANKED, [_standing(standing) for standing in standings], "Method")


def _standing(standing: Standing) -> Line:
    rows = standing.ranked or standing.rows
    erases = all(row.erases for row in rows)
    violated = any(row.row.violations for row in standing.rows)
    alarm = "violated" if violated else "erases the model" if erases else ""
    rank = "" if standing.rank is None else f"{standing.rank}{' =' if standing.tied else ''}"
    counted = standing.coverage or sum(not row.row.void for row in standing.rows)
    speed, gap = speedup(rows), worst_gap(rows)
    return Line(
        standing.title,
        "",
        (
            Cell(rank or NOTHING),
            Cell(BADGES[standing.verdict], badge=standing.verdict, alarm=alarm),
            Cell(_range([row.epsilon for row in rows])),
            Cell(number(speed.mean) if speed else NOTHING, best=standing.rank == 1),
            Cell(_range([row.once.mean if row.once else None for row in rows])),
            Cell(_range([_mean(row, "pays_after") for row in rows])),
            Cell(number(gap, 2) if gap is not None else NOTHING),
            Cell(f"{counted} of {standing.problems}"),
        ),
        alarm=violated,
    )


def _mean(row: OverviewRow, key: str) -> float | None:
    found = row.estimate(key)
    return found.mean if found else None


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return span(known, 2) if any(known) else NOTHING


def _short(answers: Section, figures: Sequence[Chart]) -> tuple[Part, ...]:
    """Every question with its answer in a sentence, then the figures."""
    lines = [
        Line(one.heading, "", (Cell(one.summary or "No record answers this yet."),))
        for one in answers.parts
        if isinstance(one, Section)
    ]
    return (grid(("in short",), lines, "Question"), *figures)


def _beside(studies: Sequence[Section]) -> list[Section]:
    items = tuple(f"{one.heading}: {one.summary}" for one in studies if one.summary)
    return [Section("studies", "Further studies", parts=(Prose(items),))] if items else []


def _problems(found: Overview) -> list[Section]:
    """Problems with their fastest ranked row; how many have none."""
    rows = [(table, found.fastest(table)) for table in ordered(found.problems())]
    lines = [
        Line(f"{table.title}{_device(table)}", "", _fastest(row))
        for table, row in rows
        if row is not None
    ]
    text = (
        f"The fastest ranked method of {len(lines)} problems. The other {len(rows) - len(lines)} "
        "have none: see index.html."
    )
    names = ("fastest ranked method", "speed-up (×)", "test gap (points)")
    parts: tuple[Part, ...] = (*paragraph(text), grid(names, lines, "Problem"))
    return [Section("problems", "Problems", parts=parts)] if rows else []


def _device(table: Table) -> str:
    return "" if table.device == "cpu" else f" ({table.device})"


def _fastest(row: OverviewRow) -> tuple[Cell, ...]:
    gap = NOTHING if row.gap is None else number(row.gap.mean, 2)
    return (Cell(row.row.title), Cell(number(present(row.speedup).mean)), Cell(gap))

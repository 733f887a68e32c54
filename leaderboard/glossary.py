"""What the words on the board mean, as a section."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.contract.definition import discover
from leaderboard.model import words
from leaderboard.model.columns import COLUMNS
from leaderboard.model.section import Facts, Prose, Section

HEADING = "What the words mean"


def column_meanings() -> dict[str, str]:
    """What each column's heading stands for."""
    return {column.heading: column.meaning for column in COLUMNS} | {
        "Verdict": " ".join(f"{words.BADGES[v]}: {text}" for v, text in words.VERDICTS.items())
    }


def reading() -> Section:
    """How to read a row of a table."""
    return Section("reading", "How to read a row", parts=(Prose(words.READING),))


def glossary() -> Section:
    """The terms that tables use, group by group."""
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
        "Columns": {column.header: column.meaning for column in COLUMNS},
    }
    sections = (
        Section(f"words-{place}", name, parts=(Facts(tuple(found.items())),))
        for place, (name, found) in enumerate(groups.items(), 1)
    )
    return Section("words", HEADING, parts=(Prose((words.ORDER, words.BEST)), *sections))

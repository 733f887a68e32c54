"""The tables in the order that people count in, and what a list of contents says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from leaderboard.model.table import Table

# with commas between thousands
_NUMBER = re.compile(r"(\d+(?:,\d{3})*)")
_UNKNOWN = "Other"


def ordered(tables: Iterable[Table]) -> list[Table]:
    """By title and device, where 2 comes before 10."""
    return sorted(tables, key=lambda table: (_natural(table.title), table.device))


def by_data_set(tables: Iterable[Table]) -> Mapping[str, list[Table]]:
    """The tables of each data set, in order."""
    found: dict[str, list[Table]] = {}
    for table in ordered(tables):
        found.setdefault(data_set(table), []).append(table)
    return found


def data_set(table: Table) -> str:
    """What people call the data set; where the plan has no facts its name in the records."""
    if table.facts is not None:
        return table.facts.data_title
    named = (record.data.name for record in table.records if record.data is not None)
    return next(named, _UNKNOWN)


def short(table: Table) -> str:
    """The title without its data set, with the device unless that is a CPU."""
    rest = table.title.removeprefix(f"{data_set(table)},").strip() or table.title
    return rest if table.device == "cpu" else f"{rest} ({table.device})"


def _natural(text: str) -> list[tuple[str, int]]:
    """A key whose numbers compare as numbers: every second part of the text is one."""
    parts = [*_NUMBER.split(text.casefold()), "0"]
    return [
        (words, int(digits.replace(",", "")))
        for words, digits in zip(parts[::2], parts[1::2], strict=True)
    ]

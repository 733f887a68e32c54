"""The tables in the order that people count in, and what a list of contents says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from leaderboard.table import Table

# with commas between thousands
_NUMBER = re.compile(r"(\d+(?:,\d{3})*)")
# up to the first comma that is not in brackets
_FIRST = re.compile(r"(?:\([^)]*\)|[^,(])+")


def ordered(tables: Iterable[Table]) -> list[Table]:
    """By title and device, where 2 comes before 10."""
    return sorted(tables, key=lambda table: (_natural(table.title), table.device))


def by_data_set(tables: Iterable[Table]) -> Mapping[str, list[Table]]:
    """The tables of each data set, which is what their titles begin with, in order."""
    found: dict[str, list[Table]] = {}
    for table in ordered(tables):
        found.setdefault(data_set(table), []).append(table)
    return found


def data_set(table: Table) -> str:
    """The title's first part, e.g. `MNIST` of `MNIST, softmax on HOG`."""
    first = _FIRST.match(table.title)
    return first[0].strip() if first else table.title


def short(table: Table) -> str:
    """The title without its data set, with the device unless that is a CPU."""
    rest = table.title.removeprefix(data_set(table)).removeprefix(",").strip() or table.title
    return rest if table.device == "cpu" else f"{rest} ({table.device})"


def _natural(text: str) -> list[tuple[str, int]]:
    """A key whose numbers compare as numbers: every second part of the text is one."""
    parts = [*_NUMBER.split(text.casefold()), "0"]
    return [
        (words, int(digits.replace(",", "")))
        for words, digits in zip(parts[::2], parts[1::2], strict=True)
    ]

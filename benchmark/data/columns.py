"""The columns of a table, and how its numbers are brought to one scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from benchmark.errors import LetheError, unknown

Scaling = Literal["as-is", "declared-ranges", "standardised"]
SCALINGS: tuple[str, ...] = get_args(Scaling)
#: No scaled row is longer, whatever it holds; `as-is` has no bound.
LONGEST = {"declared-ranges": 1.0, "standardised": 1.0}
#: Standardised rows have a root mean square of 1; longer ones than this are scaled down to it.
LARGEST_DEVIATION = 2.0
CAVEAT = (
    "features are standardised by the mean and the deviation of training rows that may be forgotten"
)


@dataclass(frozen=True)
class Column:
    """One column of a table as its file has it.

    Attributes:
        name: in the file.
        categories: how many there are, each an input that is 0 or 1; None for a number.
        low, high: the range that a number is declared to be in; None where it is not.
    """

    name: str
    categories: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return 1 if self.categories is None else self.categories


#: From a table (n, inputs) as it was read to its features (n, inputs), both float64.
Scale = Callable[[np.ndarray], np.ndarray]


def scaling(kind: str, columns: tuple[Column, ...], fitted_on: np.ndarray) -> Scale:
    """How rows are scaled.

    `declared-ranges` maps each number from its range to -1..1, leaves categories 0 or 1, and
    divides by the root of the number of columns, so that no row has a norm above 1.
    `standardised` brings numbers to mean 0 and standard deviation 1, a constant to 0, shortens
    rows to `LARGEST_DEVIATION` times that root and divides by as much. `as-is` changes nothing.

    Args:
        kind: one of `SCALINGS`.
        columns: of the table.
        fitted_on: (m, inputs) rows that mean and standard deviation are taken from.

    Raises:
        LetheError: for an unknown kind, or a number without a range.
    """
    if kind not in SCALINGS:
        raise unknown("features of a table", kind, SCALINGS)
    if kind == "as-is":
        return lambda rows: rows.astype(np.float64)
    if kind == "declared-ranges":
        return _by_ranges(columns)
    return _standardised(columns, fitted_on)


def _by_ranges(columns: tuple[Column, ...]) -> Scale:
    low, high = np.zeros((2, sum(c.width for c in columns)))
    for column, place in zip(columns, _places(columns), strict=True):
        if column.categories is None:
            if column.low is None or column.high is None:
                raise LetheError(
                    f"features 'declared-ranges' need the range of every number: add "
                    f"'{column.name}' = [low, high] to data.ranges, or take 'standardised'"
                )
            low[place], high[place] = column.low, column.high
        else:
            low[place], high[place] = -1, 1
    middle, half, root = (high + low) / 2, (high - low) / 2, np.sqrt(len(columns))
    return lambda rows: _within((rows - middle) / half / root, 1.0)


def _standardised(columns: tuple[Column, ...], fitted_on: np.ndarray) -> Scale:
    numbers = np.zeros(sum(c.width for c in columns), dtype=bool)
    for column, place in zip(columns, _places(columns), strict=True):
        numbers[place] = column.categories is None
    mean = np.where(numbers, fitted_on.mean(axis=0), 0.0)
    deviation = np.where(numbers, fitted_on.std(axis=0), 1.0)
    deviation[deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))] = 1.0  # constant there
    longest = LARGEST_DEVIATION * np.sqrt(len(columns))
    return lambda rows: _within((rows - mean) / deviation, longest) / longest


def _within(rows: np.ndarray, longest: float) -> np.ndarray:
    """The rows (n, inputs), longer ones shortened to the norm `longest`."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(norms / longest, 1.0)


def _places(columns: tuple[Column, ...]) -> list[slice]:
    """Where each column's inputs are."""
    ends = np.cumsum([0, *(column.width for column in columns)]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]

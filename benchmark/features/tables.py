"""The columns of a table, brought to one scale."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from benchmark.data.dataset import Column
from benchmark.data.features import Scale, TableFeature
from benchmark.errors import LetheError

#: Standardised rows have a root mean square of 1; longer ones than this are scaled down to it.
LARGEST_DEVIATION = 2.0


class AsIs(TableFeature):
    """Inputs as they are, unchanged."""

    name = "as-is"
    title = "columns as they are"
    source = "the suite's own"

    @classmethod
    def scale(cls, columns: tuple[Column, ...], rows: np.ndarray) -> Scale:
        return lambda rows: rows.astype(np.float64)


class DeclaredRanges(TableFeature):
    """Each number mapped from its range to -1..1; categories are 0 or 1.

    Divided by the root of the number of columns, so that no row has a norm above 1.
    """

    name = "declared-ranges"
    title = "columns by their declared ranges"
    source = "the suite's own"
    largest_norm = 1.0

    @classmethod
    def scale(cls, columns: tuple[Column, ...], rows: np.ndarray) -> Scale:
        return _by_ranges(columns)


class Standardised(TableFeature):
    """Numbers brought to mean 0 and standard deviation 1, a constant to 0.

    Rows are shortened to `LARGEST_DEVIATION` times the root of the number of columns and divided
    by as much.
    """

    name = "standardised"
    title = "standardised columns"
    source = "the suite's own"
    largest_norm = 1.0
    fitted = True

    @classmethod
    def scale(cls, columns: tuple[Column, ...], rows: np.ndarray) -> Scale:
        return _standardised(columns, rows)


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
    """Places of each column's inputs."""
    ends = np.cumsum([0, *(column.width for column in columns)]).tolist()
    return [slice(start, end) for start, end in pairwise(ends)]

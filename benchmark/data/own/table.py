"""A table as it was read, and the data set it becomes: encoded, hashed, in canonical order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from benchmark.data.dataset import (
    Column,
    Dataset,
    Part,
    content_hash,
    hashed,
    table_digests,
    text_of,
)
from benchmark.errors import LetheError
from benchmark.rows import RANGE_CAVEAT, RealTarget

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: A text column with more texts than this share of the rows names rows instead of describing them.
_MOST_CATEGORIES, _MOST_SHARE = 1000, 0.5
_MOST_CLASSES = 1000
#: Whole numbers of more values than this may be classes or a number to predict: it is to be said.
_MOST_NUMBERED = 20
#: Squares of larger numbers, summed over rows and columns, need not be finite.
LARGEST = 1e100
CLASSIFICATION, REGRESSION = TASKS = ("classification", "regression")
#: In `Roles.categories`: every text that occurs.
ALL = "all"
CAVEAT = (
    "the categories of a column are those that occur in the data, in rows that may be forgotten too"
)


@dataclass(frozen=True)
class Table:
    """Columns as they stand in a file.

    Attributes:
        where: the file, for a sentence.
        columns: by name, each (n,): float64, or object for texts; nan, None and "" are missing.
        row: what to call the row of an index, e.g. `line 18`.
    """

    where: str
    columns: dict[str, np.ndarray]
    row: Callable[[int], str] = field(default=lambda index: f"row {index}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@dataclass(frozen=True)
class Roles:
    """What the columns of a table are for.

    Attributes:
        target: the column to predict.
        id: names a row; None where rows have no ids.
        group: equal for rows that must not be divided.
        drop: columns to ignore.
        categories: by column, the possible texts, or `ALL`.
        ranges: by column, the least and the largest possible number.
        classes: the labels in order; those that occur, sorted, if None.
        task: one of `TASKS`: whether the target is of classes or a real number. If None a target
            with fractions or a range is a number, and one of texts or of few whole numbers is of
            classes.
    """

    target: str
    id: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    categories: dict[str, tuple[str, ...] | str] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    task: str | None = None


def check_range(name: str, ends: Any) -> None:
    """Hold the declared range of a column to be one.

    Raises:
        ValueError: if it is not two numbers, in order and not too large.
    """
    try:
        low, high = map(float, ends)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        raise ValueError(f"the range of '{name}' is [low, high] with low below high")
    if max(-low, high) > LARGEST:
        raise ValueError(
            f"the range of '{name}' is wider than +-{LARGEST:g}: declare what can occur"
        )


def check_different(what: str, texts: Iterable[object]) -> None:
    """Hold declared texts to be different.

    Raises:
        ValueError: if one is there twice.
    """
    names = list(map(text_of, texts))
    if len(set(names)) < len(names):
        raise ValueError(f"{what} is listed twice: list each once")


def dataset(table: Table, roles: Roles, name: str, *, constant: bool = False) -> Dataset:
    """The data set of a table that is not divided yet.

    Args:
        table: as it was read.
        roles: of its columns.
        name: of the data set.
        constant: whether a column may have one value in all rows.

    Raises:
        LetheError: for anything wrong with the table; it names the column, the row and the
            cure, and never what a cell holds.
    """
    reader = _Reader(table, roles)
    if reader.is_real():
        numbers, target = reader.real_target()
        columns, blocks = reader.inputs(constant)
        part = reader.part(target.scaled(numbers), numbers, columns, blocks)
        return Dataset(name, 1, part, None, columns, None, tuple(reader.caveats), target)
    labels, names = reader.labels()
    columns, blocks = reader.inputs(constant)
    part = reader.part(labels, [names[label] for label in labels], columns, blocks)
    return Dataset(name, len(names), part, None, columns, names, tuple(reader.caveats))


def described(
    table: Table, roles: Roles
) -> tuple[np.ndarray, tuple[str, ...], list[str] | None, np.ndarray | None]:
    """Describe rows whose inputs lie elsewhere: labels, their names, ids and group numbers.

    Raises:
        LetheError: as of `dataset`.
    """
    reader = _Reader(table, roles)
    labels, names = reader.labels()
    groups = reader.groups()
    return labels, names, reader.ids(), None if groups is None else _numbered(groups)


class _Reader:
    """A table on its way to a data set."""

    def __init__(self, table: Table, roles: Roles) -> None:
        self.table, self.roles, self.where = table, roles, table.where
        self.caveats: dict[str, None] = {}
        self._check_names()

    def is_real(self) -> bool:
        """Whether the target is a number to predict: by what is said, else by what it holds.

        Raises:
            LetheError: if a cell is missing, or it cannot be told.
        """
        column, roles = self.roles.target, self.roles
        cells = self._cells(column)
        self._refuse_missing(column, cells)
        numbers = _as_numbers(cells)
        if roles.task is not None or roles.classes is not None or numbers is None:
            return roles.task == REGRESSION
        if column in roles.ranges:
            return True
        self._refuse_infinite(column, numbers)
        if not np.all(numbers == np.floor(numbers)):
            return True
        different = len(np.unique(numbers))
        if different > _MOST_NUMBERED:
            raise LetheError(
                f"{self.where}: the target '{column}' has {different} different whole numbers, "
                "which may be classes or a number to predict: set data.task = 'classification' or "
                "'regression'"
            )
        return False

    def real_target(self) -> tuple[np.ndarray, RealTarget]:
        """(n,) float64 in the target's own units, and their scale."""
        column = self.roles.target
        if self.roles.classes is not None:
            raise LetheError(
                f"{self.where}: data.classes are for classification, and data.task is "
                "'regression': leave one of them out"
            )
        numbers = self._numbers(column, self._cells(column))
        if numbers is None:
            raise LetheError(
                f"{self.where}: no cell of the target '{column}' is a number, and data.task is "
                "'regression': leave data.task out, or name another target"
            )
        low, high = self._range(column, numbers)
        found = RealTarget(column, float(numbers.min()), float(numbers.max()), declared=False)
        if not found.half > 0:
            raise self._nothing_to_learn()
        if low is None or high is None:
            self.caveats[RANGE_CAVEAT] = None
            return numbers, found
        return numbers, RealTarget(column, low, high)

    def _nothing_to_learn(self) -> LetheError:
        return LetheError(
            f"{self.where}: the target '{self.roles.target}' is the same in every row: there is "
            "nothing to learn; name another target, or add rows of another value"
        )

    def labels(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """(n,) int64 labels, and what they are called."""
        column = self.roles.target
        cells = self._cells(column)
        self._refuse_missing(column, cells)
        if column in self.roles.ranges:
            raise LetheError(
                f"{self.where}: data.ranges names '{column}', whose numbers are classes: take it "
                "out of data.ranges, or set data.task = 'regression'"
            )
        numbers = _as_numbers(cells)
        if numbers is not None and not np.all(numbers == np.floor(numbers)):
            raise LetheError(
                f"{self.where}: the target '{column}' has numbers with fractions, which are no "
                "classes: take a target of classes, or of a table data.task = 'regression'"
            )
        texts = [text_of(c) for c in (cells if numbers is None else numbers)]
        names = self.roles.classes or _in_order(set(texts), numbers is not None)
        if len(set(texts)) < 2:
            raise self._nothing_to_learn()
        if len(names) > max(2, min(_MOST_CLASSES, len(texts) // 2)):
            raise LetheError(
                f"{self.where}: the target '{column}' has {len(names)} different values in "
                f"{len(texts)} rows: take a target of fewer classes, or, to predict a number, set "
                "data.task = 'regression'"
            )
        number = {text: index for index, text in enumerate(names)}
        other = next((i for i, text in enumerate(texts) if text not in number), None)
        if other is not None:
            raise LetheError(
                f"{self.where}: {self.table.row(other)}, column '{column}': a class that is not "
                "among data.classes: add it there or mend the cell"
            )
        return np.array([number[text] for text in texts], dtype=np.int64), tuple(names)

    def inputs(self, constant: bool) -> tuple[tuple[Column, ...], list[np.ndarray]]:
        """The columns that are learnt from, and the cells of each: numbers or texts."""
        columns, blocks = [], []
        for name in self._input_names():
            cells = self._cells(name)
            self._refuse_missing(name, cells)
            if not constant and np.all(cells == cells[0]):
                raise LetheError(
                    f"{self.where}: column '{name}' is the same in every row: leave it out with "
                    f"data.drop = ['{name}']"
                )
            numbers = None if name in self.roles.categories else self._numbers(name, cells)
            if numbers is None:
                if name in self.roles.ranges:
                    raise LetheError(
                        f"{self.where}: data.ranges names '{name}', which holds texts: take it out "
                        "of data.ranges"
                    )
                texts = np.array([text_of(cell) for cell in cells], dtype=object)
                columns.append(Column(name, len(self._categories(name, texts))))
                blocks.append(texts)
            else:
                low, high = self._range(name, numbers)
                columns.append(Column(name, None, low, high))
                blocks.append(numbers)
        if not columns:
            raise LetheError(f"{self.where}: no column is left to learn from beside the target")
        return tuple(columns), blocks

    def part(
        self,
        labels: np.ndarray,
        targets: Sequence[str] | np.ndarray,
        columns: tuple[Column, ...],
        blocks: list[np.ndarray],
    ) -> Part:
        """The rows, hashed and in canonical order.

        Args:
            labels: (n,), what is learnt.
            targets: (n,), what the table says of it: texts, or float64 of a real target.
            columns: that are learnt from.
            blocks: the cells of each.
        """
        n = len(labels)
        kinds = "".join("n" if c.categories is None else "t" for c in columns)
        numbers = [b for b, kind in zip(blocks, kinds, strict=True) if kind == "n"]
        texts: list[Sequence[str] | np.ndarray] = [
            b for b, kind in zip(blocks, kinds, strict=True) if kind == "t"
        ]
        if isinstance(targets, np.ndarray):  # a real target is hashed as a number, after all others
            kinds, numbers = f"{kinds}r", [*numbers, targets]
        else:
            texts = [*texts, targets]
        digests = table_digests(
            kinds,
            np.stack(numbers, axis=1) if numbers else np.zeros((n, 0)),
            list(zip(*texts, strict=True)) if texts else [()] * n,
        )
        found = content_hash(digests)
        ids, groups = self.ids(), self.groups()
        order = sorted(
            range(n),
            key=lambda i: (
                digests[i].tobytes(),
                "" if ids is None else ids[i],
                "" if groups is None else groups[i],
            ),
        )
        encoded = [self._encoded(c, block) for c, block in zip(columns, blocks, strict=True)]
        places = np.array(order, dtype=np.int64)
        return Part(
            rows=np.concatenate(encoded, axis=1)[places],
            labels=labels[places],
            content_hash=found,
            groups=None if groups is None else _numbered([groups[i] for i in order]),
            ids=None if ids is None else hashed((ids[i] for i in order), found),
            places=places,
        )

    def _encoded(self, column: Column, block: np.ndarray) -> np.ndarray:
        """(n, width) float64."""
        if column.categories is None:
            return block[:, None]
        known = self._categories(column.name, block)
        number = {text: index for index, text in enumerate(known)}
        encoded = np.zeros((len(block), len(known)))
        encoded[np.arange(len(block)), [number[text] for text in block]] = 1.0
        return encoded

    def _categories(self, name: str, texts: np.ndarray) -> tuple[str, ...]:
        declared = self.roles.categories.get(name, ALL)
        if declared != ALL:
            known = tuple(text_of(text) for text in declared)
            other = next((i for i, text in enumerate(texts) if text not in known), None)
            if other is not None:
                raise LetheError(
                    f"{self.where}: {self.table.row(other)}, column '{name}': a category that is "
                    f"not among data.categories.{name}: add it there or mend the cell"
                )
            return known
        self.caveats[CAVEAT] = None
        found = _in_order(set(texts), numeric=False)
        most = min(_MOST_CATEGORIES, max(2, int(_MOST_SHARE * len(texts))))
        if len(found) > most:
            raise LetheError(
                f"{self.where}: column '{name}' has {len(found)} different texts in {len(texts)} "
                f"rows, as names or dates have: leave it out with data.drop = ['{name}'], or make "
                "it the data.id or data.group"
            )
        return found

    def _numbers(self, name: str, cells: np.ndarray) -> np.ndarray | None:
        """(n,) float64; None of a column in which no cell is a number.

        Raises:
            LetheError: if some cells are numbers and others are not, or one is not finite.
        """
        if cells.dtype != object:
            self._refuse_infinite(name, cells)
            return cells
        fits = [_is_number(cell) for cell in cells]
        if not any(fits):
            return None
        if not all(fits):
            mend = "mend it or leave the row out"
            if name in self._input_names():
                mend = f"mend it, or add '{name}' = 'all' to data.categories"
            raise LetheError(
                f"{self.where}: {self.table.row(fits.index(False))}, column '{name}': not a "
                f"number, as other cells of the column are: {mend}"
            )
        numbers = np.array([float(cell) for cell in cells])
        self._refuse_infinite(name, numbers)
        return numbers

    def _range(self, name: str, numbers: np.ndarray) -> tuple[float | None, float | None]:
        if name not in self.roles.ranges:
            return None, None
        low, high = self.roles.ranges[name]
        outside = np.flatnonzero((numbers < low) | (numbers > high))
        if len(outside):
            raise LetheError(
                f"{self.where}: {self.table.row(int(outside[0]))}, column '{name}': outside its "
                f"declared range [{low:g}, {high:g}]: widen data.ranges.{name} or mend the cell"
            )
        return low, high

    def ids(self) -> list[str] | None:
        """(n,) texts, all different; None where rows have none."""
        if self.roles.id is None:
            return None
        cells = self._cells(self.roles.id)
        self._refuse_missing(self.roles.id, cells)
        texts, first = [text_of(cell) for cell in cells], dict[str, int]()
        for index, text in enumerate(texts):
            if (other := first.setdefault(text, index)) != index:
                raise LetheError(
                    f"{self.where}: {self.table.row(other)} and {self.table.row(index)} have the "
                    f"same '{self.roles.id}': an id names one row; where a person has several, "
                    "make that column data.group instead"
                )
        return texts

    def groups(self) -> list[str] | None:
        """(n,) texts, equal within a group; None where rows have none."""
        if self.roles.group is None:
            return None
        cells = self._cells(self.roles.group)
        self._refuse_missing(self.roles.group, cells)
        return [text_of(cell) for cell in cells]

    def _cells(self, name: str) -> np.ndarray:
        return self.table.columns[name]

    def _refuse_missing(self, name: str, cells: np.ndarray) -> None:
        if cells.dtype == object:
            missing = np.array([_is_missing(cell) for cell in cells])
        else:
            missing = np.isnan(cells)
        if missing.any():
            empty = int(missing.argmax())
            mend = "fill it in or leave the row out"
            if name in self._input_names():
                mend = (
                    "fill it in, leave the row out, or leave the column out with data.drop = "
                    f"['{name}']"
                )
            raise LetheError(
                f"{self.where}: {self.table.row(empty)}, column '{name}' is empty: {mend}"
            )

    def _refuse_infinite(self, name: str, numbers: np.ndarray) -> None:
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            raise LetheError(
                f"{self.where}: {self.table.row(int(wrong[0]))}, column '{name}': not a finite "
                "number: mend it or leave the row out"
            )
        large = np.flatnonzero(np.abs(numbers) > LARGEST)
        if len(large):
            raise LetheError(
                f"{self.where}: {self.table.row(int(large[0]))}, column '{name}': a number beyond "
                f"+-{LARGEST:g}: mend it, or write the column in another unit"
            )

    def _input_names(self) -> list[str]:
        roles = self.roles
        others = {roles.target, roles.id, roles.group, *roles.drop}
        return [name for name in self.table.columns if name not in others]

    def _check_names(self) -> None:
        roles, there = self.roles, self.table.columns
        if len(self.table) == 0:
            raise LetheError(f"{self.where}: there is no row in it: name another file")
        named = {
            "target": [roles.target],
            "id": [roles.id] if roles.id else [],
            "group": [roles.group] if roles.group else [],
            "drop": roles.drop,
            "categories": roles.categories,
            "ranges": roles.ranges,
        }
        for what, names in named.items():
            for name in names:
                if name not in there:
                    raise _no_column(self.where, what, name, there)
        inputs = self._input_names()
        for what, known in {"categories": inputs, "ranges": [*inputs, roles.target]}.items():
            wrong = next((name for name in named[what] if name not in known), None)
            if wrong is not None:
                raise LetheError(
                    f"{self.where}: data.{what} names '{wrong}', which is not learnt from: take it "
                    f"out of data.{what}"
                )


def _no_column(where: str, what: str, name: str, there: Iterable[str]) -> LetheError:
    """The error for a column that there is not; of a file without names it tells no cell."""
    near = get_close_matches(name, there, n=1, cutoff=0.6)
    hint = (
        f"did you mean '{near[0]}'?" if near else "the first line of a csv file names its columns"
    )
    return LetheError(f"{where}: data.{what} names the column '{name}', which is not there: {hint}")


def _is_missing(cell: object) -> bool:
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def _is_number(cell: object) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell.strip()) is not None
    return isinstance(cell, int | float | np.number)


def _as_numbers(cells: np.ndarray) -> np.ndarray | None:
    """(n,) float64 if every cell is a number."""
    if cells.dtype != object:
        return cells
    return np.array([float(c) for c in cells]) if all(map(_is_number, cells)) else None


def _in_order(texts: set[str], numeric: bool) -> tuple[str, ...]:
    return tuple(sorted(texts, key=float) if numeric else sorted(texts))


def _numbered(texts: Sequence[str]) -> np.ndarray:
    """(n,) int64, equal where the texts are; numbered as they first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)

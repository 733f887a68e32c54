"""Data that are arrays: in memory, in an npz file, or bundled with scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.data import array_file
from benchmark.data.dataset import (
    Dataset,
    Part,
    canonical_order,
    content_hash,
    hashed,
    row_digests,
    text_of,
)
from benchmark.data.own.table import (
    CLASSIFICATION,
    REGRESSION,
    TASKS,
    Roles,
    Table,
    check_different,
    check_range,
    dataset,
    described,
)
from benchmark.errors import LetheError, unknown

TARGET, ID, GROUP = "target", "id", "group"
#: The arrays of an npz file, by the role they have.
ARRAYS = {"X": "rows", "y": "labels", "ids": "ids", "groups": "groups", "columns": "names"}
#: How arrays are to be written.
_HOW = "write it with numpy.savez(file, X=..., y=...)"
#: Types of missing cells, by their names: pandas is slow to import.
_MISSING = ("NoneType", "NAType", "NaTType")
#: Sets that come with scikit-learn, each with its task.
BUNDLED = {
    "breast_cancer": CLASSIFICATION,
    "diabetes": REGRESSION,
    "iris": CLASSIFICATION,
    "wine": CLASSIFICATION,
}


@dataclass(frozen=True)
class Given:
    """Arrays that belong together.

    Attributes:
        where: what to call them in a sentence.
        x: (n, inputs) numbers, or (n, height, width[, channel]) uint8 images.
        y: (n,) labels, numbers or texts.
        ids, groups: (n,), see `Roles`; None where there are none.
        names: of the inputs; `x0`, `x1`, ... if None.
        task: as of `Roles`, where the arrays say it.
    """

    where: str
    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray | None = None
    groups: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if self.x.ndim not in (2, 3, 4):
            raise LetheError(
                f"{self.where}: X has {self.x.ndim} dimensions: a table has 2, rows x columns, "
                "and images have 3 or 4; make a sparse matrix dense"
            )
        n = len(self.x)
        for name, other in {"y": self.y, "ids": self.ids, "groups": self.groups}.items():
            if other is not None and other.shape != (n,):
                raise LetheError(
                    f"{self.where}: X has {n} rows and {name} is "
                    + (f"of shape {'x'.join(map(str, other.shape))}" if other.ndim else "no list")
                    + ": give one value a row"
                )
        if self.is_images and self.x.dtype != np.uint8:
            raise LetheError(
                f"{self.where}: X holds images of type {self.x.dtype}: turn their pixels into "
                "uint8 from 0 to 255"
            )
        if not self.is_images and self.x.dtype.kind not in "fiub":
            raise LetheError(
                f"{self.where}: X is of type {self.x.dtype}, not of numbers: encode texts first, "
                "or write a CSV or Parquet file, whose texts Lethe encodes"
            )
        if self.names is not None and len(self.names) != self.x.shape[1]:
            raise LetheError(
                f"{self.where}: {len(self.names)} names for {self.x.shape[1]} columns: give one "
                "name a column"
            )
        if twice := [one for one, count in Counter(self.names or ()).items() if count > 1]:
            raise LetheError(f"{self.where}: two columns are called '{twice[0]}': rename one")

    @property
    def is_images(self) -> bool:
        """Whether a row is an image."""
        return self.x.ndim > 2


def from_arrays(
    x: Any,
    y: Any,
    *,
    ids: Sequence[object] | None = None,
    groups: Sequence[object] | None = None,
    columns: Sequence[str] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    classes: Sequence[object] | None = None,
    task: str | None = None,
    name: str = "arrays",
) -> Dataset:
    """A data set made of arrays; whatever has `__array__` is one.

    Args:
        x: (n, inputs) numbers, or (n, height, width[, channel]) uint8 images.
        y: (n,) labels, numbers or texts; or real numbers to predict, which a series names.
        ids: (n,) a name for each row, by which requests name it.
        groups: (n,) equal for rows that must not be divided.
        columns: names of the inputs; `x0`, `x1`, ... by default.
        ranges: of inputs, by name: the least and the largest number that there can be; that of a
            real `y` by the name `target`.
        classes: the labels in order; those that occur, sorted, by default.
        task: `classification` or `regression`, where `y` does not tell; see `Roles`.
        name: of the data set.

    Raises:
        LetheError: for anything wrong with them; no cell's content is in it.
    """
    if task not in (None, *TASKS):
        raise unknown("task", task, TASKS)
    if not isinstance(name, str):
        raise LetheError("name is what the data are called, a text")
    try:
        for column, ends in (ranges or {}).items():
            check_range(column, ends)
        check_different("a class", classes or ())
    except ValueError as error:
        raise LetheError(f"{name}: {error}") from error
    names = getattr(x, "columns", None) if columns is None else columns  # a data frame has them
    given = Given(
        name,
        _numbers(_array(x, "X", name)),
        _array(y, "y", name),
        None if ids is None else _array(ids, "ids", name),
        None if groups is None else _array(groups, "groups", name),
        None if names is None else tuple(map(str, names)),
    )
    roles = Roles(
        TARGET,
        ranges=ranges or {},
        classes=None if classes is None else tuple(map(text_of, classes)),
        task=task,
    )
    found, called = of_arrays(given, roles, name, constant=True), getattr(y, "name", None)
    if found.target is None or not isinstance(called, str) or not called.strip():
        return found
    return replace(found, target=replace(found.target, name=called))


def of_arrays(given: Given, roles: Roles, name: str, *, constant: bool = False) -> Dataset:
    """The data set of arrays; `roles` says of the inputs what the arrays do not.

    Raises:
        LetheError: as of `benchmark.data.own.table.dataset`.
    """
    names = given.names or tuple(f"x{i}" for i in range(given.x.shape[1]))
    used = {TARGET, ID, GROUP} & set(names)
    if used and not given.is_images:
        raise LetheError(f"{given.where}: a column is called '{min(used)}': rename it")
    columns = {} if given.is_images else dict(zip(names, given.x.T.astype(np.float64), strict=True))
    columns[TARGET] = _cells(given.y)
    whole = Roles(
        TARGET,
        None if given.ids is None else ID,
        None if given.groups is None else GROUP,
        roles.drop,
        roles.categories,
        roles.ranges,
        roles.classes,
        roles.task or given.task,
    )
    for role, cells in {ID: given.ids, GROUP: given.groups}.items():
        if cells is not None:
            columns[role] = _cells(cells)
    table = Table(given.where, columns)
    if given.is_images:
        return _images(given.where, given.x, table, whole, name)
    return dataset(table, whole, name, constant=constant)


def read_npz(path: Path) -> Given:
    """The arrays `X` and `y`, and where they are there `ids`, `groups` and `columns`.

    Raises:
        LetheError: if the file cannot be read, is none, or lacks one.
    """
    found = array_file.read_npz(path, "data file", f"{_HOW}, texts as arrays of dtype str")
    for name in ("X", "y"):
        if name not in found:
            raise LetheError(f"{path.name}: there is no array '{name}' in it: {_HOW}")
    other = next((name for name in found if name not in ARRAYS), None)
    if other is not None:
        raise unknown(f"array in {path.name}:", other, ARRAYS)
    names = found.get("columns")
    return Given(
        path.name,
        found["X"],
        found["y"],
        found.get("ids"),
        found.get("groups"),
        None if names is None else tuple(map(str, names.tolist())),
    )


def of_table(table: Table, roles: Roles, name: str) -> Dataset:
    """The data set of a table as it was read; of images if there is a column of them.

    Raises:
        LetheError: as of `benchmark.data.own.table.dataset`, or for images beside other columns.
    """
    images = [one for one, cells in table.columns.items() if cells.ndim > 1]
    images = [one for one in images if one not in roles.drop]
    if not images:
        return dataset(table, roles, name)
    others = {*images[:1], roles.target, roles.id, roles.group, *roles.drop}
    beside = next((one for one in table.columns if one not in others), None)
    if beside is not None:
        raise LetheError(
            f"{table.where}: column '{beside}' lies beside images, and only images are learnt "
            f"from: leave it out with data.drop = ['{beside}']"
        )
    columns = {one: cells for one, cells in table.columns.items() if cells.ndim == 1}
    pixels = table.columns[images[0]]
    return _images(table.where, pixels, Table(table.where, columns, table.row), roles, name)


def bundled(name: str) -> Given:
    """A set that comes with scikit-learn.

    Raises:
        LetheError: if there is none of that name.
    """
    from sklearn import datasets

    if name not in BUNDLED:
        raise unknown("set of scikit-learn:", name, BUNDLED)
    # diabetes is scaled by all of its rows unless it is asked for in its own units
    found = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    where, task = f"scikit-learn's {name}", BUNDLED[name]
    return Given(where, found.data, found.target, None, None, _plain(found), task)


def _plain(found: Any) -> tuple[str, ...]:
    return tuple(str(one) for one in found.feature_names)


def _array(value: Any, name: str, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise LetheError(f"{where}: {name} is no array: its rows differ in length") from error
    except RuntimeError as error:  # of torch, whose words say what to do
        raise LetheError(f"{where}: {name} is no array: {error}") from error


def _numbers(cells: np.ndarray) -> np.ndarray:
    """The cells, as float64 where they are objects that are all numbers, truths or missing."""
    kinds = {type(cell) for cell in cells.flat} if cells.dtype == object else {str}
    numbers = (bool, np.bool_, int, float, np.number)
    if not all(kind.__name__ in _MISSING or issubclass(kind, numbers) for kind in kinds):
        return cells
    known = [np.nan if type(cell).__name__ in _MISSING else float(cell) for cell in cells.flat]
    return np.array(known).reshape(cells.shape)


def _cells(values: np.ndarray) -> np.ndarray:
    """(n,) float64 of numbers, else texts."""
    if values.dtype.kind in "fiub":
        return values.astype(np.float64)
    missing = (v is None or v != v for v in values)
    return np.array(
        [None if none else text_of(v) for v, none in zip(values, missing, strict=True)],
        dtype=object,
    )


def _images(where: str, pixels: np.ndarray, table: Table, roles: Roles, name: str) -> Dataset:
    """The data set of images (n, height, width[, channel]) and a table of what is beside them."""
    unused = {"categories": roles.categories, "ranges": roles.ranges}
    if named := next((what for what, names in unused.items() if names), None):
        raise LetheError(f"{where}: data.{named} is for tables, and these are images: leave it out")
    if roles.task == REGRESSION:
        raise LetheError(
            f"{where}: data.task = 'regression' is for tables, and these are images: leave it out"
        )
    labels, names, ids, groups = described(
        table, Roles(roles.target, roles.id, roles.group, classes=roles.classes)
    )
    if len(names) > 256:
        raise LetheError(f"{where}: images have at most 256 classes, not {len(names)}: merge some")
    digests = row_digests(pixels, labels)
    found, order = content_hash(digests), canonical_order(digests)
    part = Part(
        pixels[order],
        labels[order],
        found,
        None if groups is None else groups[order],
        None if ids is None else hashed((ids[i] for i in order), found),
        order.astype(np.int64),
    )
    return Dataset(name, len(names), part, None, (), names)

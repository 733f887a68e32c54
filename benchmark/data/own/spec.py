"""How an experiment says where a user's own data are, and what their columns are for."""

from __future__ import annotations

import errno
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from benchmark.data.dataset import Dataset, refuse_other_content, text_of
from benchmark.data.own.arrays import bundled, of_arrays, of_table, read_npz
from benchmark.data.own.files import read_csv, read_parquet, read_saved
from benchmark.data.own.table import ALL, REGRESSION, Roles, check_different, check_range
from benchmark.errors import LetheError, present

KINDS = ("csv", "parquet", "npz", "datasets", "sklearn")
#: The kinds that are files or folders.
_FILES = KINDS[:-1]
#: Those of them that may be folders.
_FOLDERS = ("parquet", "datasets")
_HASH = r"^[0-9a-f]{64}$"

#: Kinds by what the name of a file ends with.
_ENDINGS = {".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".parquet": "parquet", ".npz": "npz"}

Cell = str | int | float


def own_kind(name: str) -> str | None:
    """The one of `KINDS` that the name of a file tells; None if it tells none."""
    return next((kind for end, kind in _ENDINGS.items() if name.endswith(end)), None)


class OwnData(BaseModel):
    """Data in a file of the user's, or bundled with scikit-learn: one of `KINDS`.

    A record says what the file is called and what was in it, not where it lay.

    Attributes:
        csv: a file of separated values, also compressed by gzip.
        parquet: a Parquet file.
        npz: a NumPy file of the arrays X and y, and maybe ids, groups and columns.
        datasets: a folder that `datasets.Dataset.save_to_disk` wrote.
        sklearn: one of scikit-learn's bundled sets.
        target, id, group, drop, categories, ranges, classes, task: see
            `benchmark.data.own.table.Roles`; once real targets are read, `task` says so.
        separator: between the cells of a csv.
        content_hash: of the rows; set when they are read first, and checked from then on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    csv: str | None = None
    parquet: str | None = None
    npz: str | None = None
    datasets: str | None = None
    sklearn: str | None = None
    target: str | None = None
    id: str | None = None
    group: str | None = None
    drop: tuple[str, ...] = ()
    categories: dict[str, Literal["all"] | tuple[Cell, ...]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    classes: tuple[Cell, ...] | None = Field(None, min_length=2)
    task: Literal["classification", "regression"] | None = None
    separator: str | None = Field(None, min_length=1, max_length=1)
    content_hash: Annotated[str, Field(pattern=_HASH)] | None = None
    _folder: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _one_kind(self) -> OwnData:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"data takes exactly one of {', '.join(KINDS)}")
        if given[0] not in ("npz", "sklearn") and self.target is None:
            raise ValueError("set data.target, the column to predict")
        arrays = {"npz": "the file's arrays y, ids and groups say it", "sklearn": "the set says it"}
        named = [name for name in ("target", "id", "group") if getattr(self, name) is not None]
        if given[0] in arrays and named:
            raise ValueError(f"data.{named[0]} is for tables: leave it out, {arrays[given[0]]}")
        if self.separator is not None and self.csv is None:
            raise ValueError("data.separator is for csv files: leave it out")
        return self

    @field_validator("ranges")
    @classmethod
    def _ascending(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, ends in ranges.items():
            check_range(name, ends)
        return ranges

    @field_validator("categories", mode="before")
    @classmethod
    def _listed(cls, categories: Any) -> Any:
        for name, texts in categories.items() if isinstance(categories, dict) else ():
            if texts != ALL and (isinstance(texts, str) or not isinstance(texts, list | tuple)):
                raise ValueError(f"the categories of '{name}' are a list of texts, or '{ALL}'")
            if texts != ALL:
                check_different(f"a category of '{name}'", texts)
        return categories

    @field_validator("classes")
    @classmethod
    def _different(cls, classes: tuple[Cell, ...] | None) -> tuple[Cell, ...] | None:
        check_different("a class", classes or ())
        return classes

    @model_validator(mode="after")
    def _one_role(self) -> OwnData:
        """Refuse a column that is to be two things at a time."""
        singles = {"target": self.target, "id": self.id, "group": self.group}
        roles = [(role, name) for role, name in singles.items() if name is not None]
        roles += [("drop", name) for name in dict.fromkeys(self.drop)]
        first: dict[str, str] = {}
        for role, name in roles:
            if (other := first.setdefault(name, role)) != role:
                raise ValueError(f"data.{other} and data.{role} both name '{name}': leave one out")
        if both := [name for name in self.ranges if name in self.categories]:
            raise ValueError(
                f"data.ranges and data.categories both name '{both[0]}': leave one out"
            )
        return self

    @model_serializer(mode="wrap")
    def _portable(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is set, a file by its name alone: where it lies says nothing of the numbers."""
        found = {key: value for key, value in handler(self).items() if value not in (None, (), {})}
        found = {key: value for key, value in found.items() if value != []}
        return found | {self.kind: self.file} if self.kind in _FILES else found

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def file(self) -> str:
        """The name of the file or folder, or of the set."""
        return Path(getattr(self, self.kind)).name

    @property
    def name(self) -> str:
        """What the data are called: the file's name without what follows the first dot."""
        return self.file.split(".")[0] or self.file

    @property
    def roles(self) -> Roles:
        """What the columns are for."""
        categories: dict[str, tuple[str, ...] | str] = {
            name: ALL if texts == ALL else tuple(map(text_of, texts))
            for name, texts in self.categories.items()
        }
        classes = None if self.classes is None else tuple(map(text_of, self.classes))
        target = self.target or "target"
        return Roles(
            target,
            self.id,
            self.group,
            self.drop,
            categories,
            self.ranges,
            classes,
            self.task,
        )

    def located(self, folder: Path) -> OwnData:
        """The same read from a path that starts at `folder`, with its content hash.

        Raises:
            LetheError: if the data cannot be read, are wrong or are not those of `content_hash`.
        """
        found = self.model_copy()
        found._folder = folder.resolve()
        dataset = found.load()
        task = self.task if dataset.target is None else REGRESSION
        read = found.model_copy(update={"content_hash": dataset.train.content_hash, "task": task})
        read._folder = found._folder
        return read

    def load(self) -> Dataset:
        """The data set.

        Raises:
            LetheError: as of `located`.
        """
        found = _read(self.model_dump_json(exclude={"content_hash"}), *self._state())
        expected = self.content_hash
        if expected is not None:
            part = found.train
            refuse_other_content(
                part.content_hash,
                expected,
                len(part.labels),
                self.file,
                "the file has changed, or data.content_hash is of other columns: correct one",
            )
        return found

    def path(self) -> Path:
        """Where the file is: at the study, else in the current folder or in `$LETHE_DATA`."""
        given = Path(getattr(self, self.kind))
        if self._folder is not None:
            return self._folder / given
        folders = [Path.cwd(), *map(Path, filter(None, [os.environ.get("LETHE_DATA")]))]
        places = [folder / given for folder in folders]
        return next((place for place in places if place.exists()), places[0])

    def _state(self) -> tuple[str, int, int]:
        """The path, size and time of the file, by which a change of it is seen."""
        if self.kind not in _FILES:
            return "", 0, 0
        path = self.path()
        try:
            if path.is_dir() and self.kind not in _FOLDERS:
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            newest = max((one.stat() for one in _files(path)), key=lambda s: s.st_mtime_ns)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is an empty folder"
            reason = "its name has a NUL in it" if "\0" in str(path) else reason
            raise LetheError(
                f"data file {path} cannot be read ({reason}): correct problem.data.{self.kind}, "
                "which starts from the experiment's folder"
            ) from error
        return str(path), newest.st_size, newest.st_mtime_ns


@lru_cache(maxsize=8)
def _read(settings: str, path: str, size: int, changed: int) -> Dataset:
    """The data set that settings, as JSON, describe; once a process and state of the file."""
    spec = OwnData.model_validate_json(settings)
    if spec.kind == "sklearn":
        return of_arrays(bundled(present(spec.sklearn)), spec.roles, spec.name)
    if spec.kind == "npz":
        return of_arrays(read_npz(Path(path)), spec.roles, spec.name)
    if spec.kind == "csv":
        table = read_csv(Path(path), spec.separator or ",")
    else:
        table = (read_parquet if spec.kind == "parquet" else read_saved)(Path(path))
    return of_table(table, spec.roles, spec.name)


def _files(path: Path) -> list[Path]:
    return [one for one in path.iterdir() if one.is_file()] if path.is_dir() else [path]


class Arrays(BaseModel):
    """Data that are arrays in memory: what records say of them.

    Attributes:
        arrays: the data set's name.
        content_hash: of the rows.
        task: `regression` where a real number is predicted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arrays: str
    content_hash: Annotated[str, Field(pattern=_HASH)]
    task: Literal["regression"] | None = Field(None, exclude_if=lambda value: value is None)
    _dataset: Dataset | None = PrivateAttr(None)

    @classmethod
    def of(cls, dataset: Dataset) -> Arrays:
        """The account of a data set, which goes with it."""
        found = cls(
            arrays=dataset.name,
            content_hash=dataset.train.content_hash,
            task=None if dataset.target is None else REGRESSION,
        )
        found._dataset = dataset
        return found

    @property
    def name(self) -> str:
        """What the data are called."""
        return self.arrays

    def load(self) -> Dataset:
        """The data set.

        Raises:
            LetheError: if this was read from a record, which does not hold it.
        """
        if self._dataset is None:
            raise LetheError(
                f"the data '{self.arrays}' were arrays in memory, which no record holds: make it "
                "from the arrays again"
            )
        return self._dataset

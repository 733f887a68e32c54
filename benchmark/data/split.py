"""Parts of the rows: trained on, kept as negatives, tested, or public and never forgotten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data.dataset import Dataset, Part
from benchmark.errors import LetheError
from benchmark.files import read_text

# Public rows: training rows that never ask for deletion, and how an experiment names them.

_FORMS = "a number of rows, a share of them below 1, { rows = [...] } or { file = '...' }"


class PublicIndex(BaseModel):
    """Public rows by number.

    Attributes:
        rows: into the data set's training part in canonical order; sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)

    @field_validator("rows")
    @classmethod
    def _distinct(cls, rows: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(rows)) != len(rows):
            raise ValueError("a public row is named twice")
        return tuple(sorted(rows))


def _one_form(value: Any) -> Any:
    """Refuse, in one sentence, what has none of the forms; a union would write several."""
    if isinstance(value, PublicIndex) or value is None:
        return value
    if isinstance(value, dict):
        return PublicIndex.model_validate(value)
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    share = isinstance(value, float) and 0 < value < 1
    if not (count or share):
        raise ValueError(f"public is {_FORMS}, not {value!r}")
    return value


#: How an experiment says which rows are public.
PublicSpec = Annotated[int | float | PublicIndex | None, BeforeValidator(_one_form)]


def with_rows_of_file(problem: Any, folder: Path) -> Any:
    """An experiment's `problem`, whose `split.public = { file = "..." }` holds the numbers instead.

    Args:
        problem: as the file says it, of any form.
        folder: of the experiment, which the path starts from.

    Raises:
        LetheError: if the file cannot be read or holds anything but whole numbers.
    """
    split = problem.get("split") if isinstance(problem, dict) else None
    if not isinstance(split, dict):
        return problem
    public = split.get("public")
    if not (isinstance(public, dict) and isinstance(public.get("file"), str)):
        return problem
    if len(public) > 1:
        raise LetheError(f"split.public takes exactly one of these: {_FORMS}")
    numbers = row_numbers(folder / public["file"])
    return problem | {"split": split | {"public": {"rows": numbers}}}


def row_numbers(path: Path) -> list[int]:
    """The whole numbers in a text file, between blanks or line ends.

    Raises:
        LetheError: if it cannot be read or holds anything else.
    """
    words = read_text(path, "file of public rows").split()
    wrong = next((word for word in words if not (word.isascii() and word.isdigit())), None)
    if wrong is not None:
        raise LetheError(f"file of public rows {path}: '{wrong[:40]}' is not the number of a row")
    return [int(word) for word in words]


def named_rows(dataset: Dataset, spec: PublicIndex) -> Tensor:
    """(m,) int64, sorted: the rows that `spec` names.

    Raises:
        LetheError: if there is no such row, or a group would be divided.
    """
    rows, part = np.array(spec.rows), dataset.train
    if rows[-1] >= len(part.labels):
        raise LetheError(
            f"split.public names row {rows[-1]} of {dataset.name}, whose training rows end at "
            f"{len(part.labels) - 1}"
        )
    if (row := _divided(part, rows)) is not None:
        raise LetheError(
            f"split.public divides the group of row {row} of {dataset.name}: name all rows of a "
            "group or none"
        )
    return torch.from_numpy(rows)


def _divided(part: Part, rows: np.ndarray) -> int | None:
    """A row outside `rows` of a group that is partly in them; None if there is none."""
    if part.groups is None:
        return None
    outside = np.setdiff1d(np.arange(len(part.labels)), rows)
    cut = outside[np.isin(part.groups[outside], part.groups[rows])]
    return int(cut[0]) if len(cut) else None


# Which rows are trained on, which are kept as negatives, which test.


def _one_size(value: Any) -> Any:
    """Refuse what is neither a number of rows nor a share by one sentence.

    A truth value passes for 1: where settings are read, it is refused by its place.
    """
    count = isinstance(value, int) and value >= 1
    share = isinstance(value, float) and 0 < value < 1
    if not (count or share or value is None):
        raise ValueError(f"a number of rows, 1 or more, or a share of them below 1, not {value!r}")
    return value


#: Rows that are held back: their number, or their share of the rows to divide.
Size = Annotated[int | float, BeforeValidator(_one_size)]


class SplitSpec(BaseModel):
    """How many rows go where.

    Where rows are grouped, whole groups are held back until there are at least `negatives` rows,
    then at least `test` rows, then `validation`, then `public`; `train` is exact in any case.

    A size is a number of rows, or a share of the data set's training rows below 1.

    Attributes:
        negatives: rows held back from training as never-trained examples for attacks.
        test: rows held back for testing, where the data set has no official test split.
        train: training rows; all that are left if None.
        validation: rows held back to tune on; none if None, and then no record's key knows of it.
        public: rows that never ask for deletion, for features and starting weights: how many, a
            share of the data set's training rows, or which ones; likewise.
        named: rows that are trained on whatever the split seed, with their groups: those that
            requests name, by canonical number; none if empty, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negatives: Size
    test: Size | None = None
    train: int | None = Field(None, ge=2)
    validation: Size | None = Field(None, exclude_if=lambda value: value is None)
    public: PublicSpec = Field(None, exclude_if=lambda value: value is None)
    named: tuple[int, ...] = Field((), exclude_if=lambda value: not value)


@dataclass(frozen=True)
class Split:
    """Row numbers in canonical order, sorted.

    Attributes:
        train, negatives: into the data set's training part; disjoint.
        test: into the same part and disjoint from both, or None for the official test split.
        validation: into the same part and disjoint from all, or None if there is none.
        public: likewise.
        No group has rows in two of them.

    Raises:
        LetheError: if a public row has another part as well.
    """

    train: Tensor
    negatives: Tensor
    test: Tensor | None
    validation: Tensor | None = None
    public: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("train", "negatives", "test", "validation"):
            rows = getattr(self, name)
            if rows is not None and (row := self._public_one(rows)) is not None:
                raise LetheError(
                    f"row {row} is public and one of the split's {name} rows, too: a public row "
                    "has no other part"
                )

    def refuse_public(self, forget: Tensor) -> None:
        """Refuse a request for public rows, on which features or weights were fitted.

        Args:
            forget: (n,) indices into the training rows, as requests have them.

        Raises:
            LetheError: if one of them is public, or is no training row at all.
        """
        if self.public is None or len(forget) == 0:
            return
        if int(forget.min()) < 0 or int(forget.max()) >= len(self.train):
            raise LetheError(
                f"the forget set names a row outside the {len(self.train)} training rows: public "
                "rows never ask for deletion"
            )
        if (row := self._public_one(self.train[forget])) is not None:
            raise LetheError(
                f"the forget set touches row {row}, which is public and never asks for deletion: "
                "take it out of split.public"
            )

    def _public_one(self, rows: Tensor) -> int | None:
        """The first of `rows`, by canonical number, that is public; None if none is."""
        if self.public is None:
            return None
        touched = rows[torch.isin(rows, self.public)]
        return int(touched[0]) if len(touched) else None

    @property
    def fingerprint(self) -> str:
        """sha256, in hex, of the row numbers."""
        digest = hashlib.sha256()
        for rows in (self.train, self.negatives, self.test):
            digest.update(b"official" if rows is None else rows.numpy().tobytes())
            digest.update(b"|")
        if self.validation is not None:
            digest.update(self.validation.numpy().tobytes())
        if self.public is not None:
            digest.update(b"|public|" + self.public.numpy().tobytes())
        return digest.hexdigest()


def split(dataset: Dataset, spec: SplitSpec, seeds: Seeds) -> Split:
    """Divide the rows, or the groups of rows, by the split seed.

    Raises:
        LetheError: if the sizes do not fit the data set.
    """
    if (spec.test is None) != (dataset.test is not None):
        state = "has an official" if dataset.test is not None else "has no official"
        change = "leave out" if dataset.test is not None else "set"
        raise LetheError(f"data set {dataset.name} {state} test split: {change} split.test")
    order, place = _shuffled(dataset.train, seeds)
    total, named = len(order), None
    if isinstance(spec.public, PublicIndex):
        named = named_rows(dataset, spec.public)
        _refuse_both(dataset, spec)
        others = ~torch.isin(order, named)
        order, place = order[others], place[others]
    kept, order, place = _kept(order, place, spec)
    ends = [0]
    for size in (spec.negatives, spec.test, spec.validation, spec.public):
        size = _rows(size, total)
        ends.append(_whole_groups(place, ends[-1] + size) if size else ends[-1])
    held, there = ends[-1], len(order)
    wanted = (spec.train if spec.train is not None else there - held + len(kept)) - len(kept)
    if wanted < 0 or wanted + len(kept) < 2 or held + wanted > there:
        asked = held + max(wanted, 2) + total - there
        raise LetheError(
            f"the split asks for {asked} rows of {dataset.name}, which has {total}, named rows "
            "and whole groups included: make problem.split smaller, or name fewer rows to forget"
        )
    negatives, test, validation, public = (
        order[start:end].sort().values for start, end in pairwise(ends)
    )
    return Split(
        train=torch.cat([kept, order[held : held + wanted]]).sort().values,
        negatives=negatives,
        test=None if spec.test is None else test,
        validation=None if spec.validation is None else validation,
        public=None if spec.public is None else public if named is None else named,
    )


def _rows(size: int | float | PublicIndex | None, total: int) -> int:
    """How many rows are to be drawn out of so many."""
    if size is None or isinstance(size, PublicIndex):
        return 0
    return size if isinstance(size, int) else max(1, round(size * total))


def _kept(order: Tensor, place: Tensor, spec: SplitSpec) -> tuple[Tensor, Tensor, Tensor]:
    """Rows that are trained on in any case, and the order and the places of the others.

    Raises:
        LetheError: if there is no such row.
    """
    if not spec.named:
        return order[:0], order, place
    named = torch.isin(order, torch.tensor(spec.named))
    inside = torch.isin(place, place[named])
    return order[inside], order[~inside], place[~inside]


def _refuse_both(dataset: Dataset, spec: SplitSpec) -> None:
    """Refuse a row that is public and asks for deletion."""
    both = set(spec.named) & set(spec.public.rows if isinstance(spec.public, PublicIndex) else ())
    if both:
        raise LetheError(
            f"row {min(both)} of {dataset.name}, by canonical number, is public and named by a "
            "request: a public row never asks for deletion; take it out of split.public"
        )


def _shuffled(part: Part, seeds: Seeds) -> tuple[Tensor, Tensor]:
    """(n,) rows in random order, those of a group adjacent, and the place of each one's group."""
    n = len(part.labels)
    groups = np.arange(n) if part.groups is None else np.unique(part.groups, return_inverse=True)[1]
    shuffled = torch.randperm(int(groups.max()) + 1, generator=seeds.generator("split"))
    place = shuffled.argsort()[torch.from_numpy(groups)]
    order = place.argsort(stable=True)
    return order, place[order]


def _whole_groups(place: Tensor, count: int) -> int:
    """The least number of leading rows, `count` or more, that ends with a group.

    Args:
        place: (n,) the groups' places, ascending.
        count: rows wanted; returned as it is if there are not so many.
    """
    if count > len(place):
        return count
    return int(torch.searchsorted(place, place[count - 1], right=True))

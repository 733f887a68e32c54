"""Public rows: training rows that never ask for deletion, and how an experiment names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from torch import Tensor

from benchmark.data.dataset import Dataset, Part
from benchmark.errors import LetheError
from benchmark.files import read_text

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

"""Which rows are trained on, which are kept as negatives, which test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data.dataset import Dataset, Part
from benchmark.errors import LetheError


class SplitSpec(BaseModel):
    """How many rows go where.

    Where rows are grouped, whole groups are held back until there are at least `negatives` rows,
    then at least `test` rows, then `validation`; `train` is exact in any case.

    Attributes:
        negatives: rows held back from training as never-trained examples for attacks.
        test: rows held back for testing, where the data set has no official test split.
        train: training rows; all that are left if None.
        validation: rows held back to tune on; none if None, and then no record's key knows of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negatives: int = Field(ge=1)
    test: int | None = Field(None, ge=1)
    train: int | None = Field(None, ge=2)
    validation: int | None = Field(None, ge=1, exclude_if=lambda value: value is None)


@dataclass(frozen=True)
class Split:
    """Row numbers in canonical order, sorted.

    Attributes:
        train, negatives: into the data set's training part; disjoint.
        test: into the same part and disjoint from both, or None for the official test split.
        validation: into the same part and disjoint from all, or None if there is none.
        No group has rows in two of them.
    """

    train: Tensor
    negatives: Tensor
    test: Tensor | None
    validation: Tensor | None = None

    @property
    def fingerprint(self) -> str:
        """sha256, in hex, of the row numbers."""
        digest = hashlib.sha256()
        for rows in (self.train, self.negatives, self.test):
            digest.update(b"official" if rows is None else rows.numpy().tobytes())
            digest.update(b"|")
        if self.validation is not None:
            digest.update(self.validation.numpy().tobytes())
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
    total = len(order)
    first = _whole_groups(place, spec.negatives)
    second = _whole_groups(place, first + spec.test) if spec.test else first
    held = _whole_groups(place, second + spec.validation) if spec.validation else second
    wanted = spec.train if spec.train is not None else total - held
    if wanted < 2 or held + wanted > total:
        raise LetheError(
            f"the split asks for {held + max(wanted, 2)} rows of {dataset.name}, which has {total}"
        )
    return Split(
        train=order[held : held + wanted].sort().values,
        negatives=order[:first].sort().values,
        test=None if spec.test is None else order[first:second].sort().values,
        validation=None if spec.validation is None else order[second:held].sort().values,
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

"""Which rows are trained on, which are kept as negatives, which test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from benchmark.contract.seeds import Seeds
from benchmark.data.dataset import Dataset
from benchmark.errors import LetheError


class SplitSpec(BaseModel):
    """How many rows go where.

    Attributes:
        negatives: rows held back from training as never-trained examples for attacks.
        test: rows held back for testing, where the data set has no official test split.
        train: training rows; all that are left if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    negatives: int = Field(ge=1)
    test: int | None = Field(None, ge=1)
    train: int | None = Field(None, ge=2)


@dataclass(frozen=True)
class Split:
    """Row numbers in canonical order, sorted.

    Attributes:
        train, negatives: into the data set's training part; disjoint.
        test: into the same part and disjoint from both, or None for the official test split.
    """

    train: Tensor
    negatives: Tensor
    test: Tensor | None

    @property
    def fingerprint(self) -> str:
        """sha256, in hex, of the row numbers."""
        digest = hashlib.sha256()
        for rows in (self.train, self.negatives, self.test):
            digest.update(b"official" if rows is None else rows.numpy().tobytes())
            digest.update(b"|")
        return digest.hexdigest()


def split(dataset: Dataset, spec: SplitSpec, seeds: Seeds) -> Split:
    """Divide the rows by the split seed.

    Raises:
        LetheError: if the sizes do not fit the data set.
    """
    if (spec.test is None) != (dataset.test is not None):
        state = "has an official" if dataset.test is not None else "has no official"
        change = "leave out" if dataset.test is not None else "set"
        raise LetheError(f"data set {dataset.name} {state} test split: {change} split.test")
    total = len(dataset.train.labels)
    held = spec.negatives + (spec.test or 0)
    wanted = spec.train if spec.train is not None else total - held
    if wanted < 2 or held + wanted > total:
        raise LetheError(
            f"the split asks for {held + max(wanted, 2)} rows of {dataset.name}, which has {total}"
        )
    order = torch.randperm(total, generator=seeds.generator("split"))
    negatives, test, train = order.split([spec.negatives, spec.test or 0, total - held])
    return Split(
        train=train[:wanted].sort().values,
        negatives=negatives.sort().values,
        test=None if spec.test is None else test.sort().values,
    )

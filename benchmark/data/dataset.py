"""A data set in memory, verified and in canonical order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.data.hashing import canonical_order, content_hash, groups_hash, row_digests
from benchmark.errors import LetheError


@dataclass(frozen=True)
class Part:
    """One official split.

    Attributes:
        images: (n, height, width[, channel]) uint8, in canonical order.
        labels: (n,) int64.
        content_hash: hex; see `benchmark.data.hashing`.
        groups: (n,) int64, equal for rows that must not be divided between training and held-out
            rows; None where rows are independent.
    """

    images: np.ndarray
    labels: np.ndarray
    content_hash: str
    groups: np.ndarray | None = None

    @classmethod
    def verified(
        cls,
        images: np.ndarray,
        labels: np.ndarray,
        expected: str,
        where: str,
        remedy: str,
        groups: np.ndarray | None = None,
        expected_groups: str | None = None,
    ) -> Part:
        """Check the content hash, then put the rows into canonical order.

        Args:
            images: (n, height, width[, channel]) uint8, in any order.
            labels: (n,).
            expected: the hash the project knows.
            where: what was read, for the error.
            remedy: what to do, for the error.
            groups: (n,), if rows are grouped.
            expected_groups: their hash that the project knows.

        Raises:
            LetheError: if the content or its groups are not the expected ones.
        """
        digests = row_digests(images, labels)
        found = content_hash(digests)
        if found != expected:
            raise LetheError(
                f"{where}: its content hash is {found[:16]}..., not {expected[:16]}... "
                f"({len(labels)} rows read); {remedy}"
            )
        order = canonical_order(digests)
        groups = None if groups is None else groups[order].astype(np.int64)
        if expected_groups is not None and (
            groups is None or groups_hash(groups) != expected_groups
        ):
            raise LetheError(f"{where}: its rows are not grouped as they should be; {remedy}")
        return cls(images[order], labels[order].astype(np.int64), found, groups)


@dataclass(frozen=True)
class Dataset:
    """A verified data set.

    Attributes:
        name: as in experiments.
        classes: number of labels.
        train: the rows to draw training rows from.
        test: the official test rows, or None where there is no official test split.
    """

    name: str
    classes: int
    train: Part
    test: Part | None

"""A data set in memory, verified and in canonical order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmark.data.columns import Column
from benchmark.data.hashing import canonical_order, content_hash, groups_hash, row_digests
from benchmark.errors import LetheError
from benchmark.rows import RealTarget


@dataclass(frozen=True, eq=False)
class Part:
    """One official split, its rows images or those of a table.

    Attributes:
        rows: (n, height, width[, channel]) uint8 images, or a table (n, inputs) float64 whose
            numbers are not scaled yet; in canonical order.
        labels: (n,) int64; of a real target (n,) float64, scaled to -1..1.
        content_hash: hex; see `benchmark.data.hashing`.
        groups: (n,) int64, equal for rows that must not be divided between training and held-out
            rows; None where rows are independent.
        ids: the hash of each row's id, see `benchmark.data.ids`; None where rows have no ids.
        places: (n,) int64, where each row stood in the file or the arrays that it came from,
            counted from 0; None where only canonical numbers name a row.
    """

    rows: np.ndarray
    labels: np.ndarray
    content_hash: str
    groups: np.ndarray | None = None
    ids: tuple[str, ...] | None = field(default=None, repr=False)
    places: np.ndarray | None = None

    @property
    def is_table(self) -> bool:
        """Whether the rows are those of a table."""
        return self.rows.ndim == 2

    @property
    def images(self) -> np.ndarray:
        """(n, height, width[, channel]) uint8.

        Raises:
            LetheError: if the rows are those of a table.
        """
        if self.is_table:
            raise LetheError(
                "the data are a table, and images are asked for: take problem.features "
                "= 'declared-ranges', 'standardised' or 'as-is', and a model of plain rows"
            )
        return self.rows

    def canonical(self, numbers: np.ndarray) -> np.ndarray:
        """(m,) canonical numbers of the rows that stood at these places.

        Args:
            numbers: (m,) places in the source, from 0; canonical numbers where none are kept.

        Raises:
            LetheError: if there is no such row.
        """
        n = len(self.labels)
        outside = numbers[(numbers < 0) | (numbers >= n)]
        if len(outside):
            raise LetheError(
                f"there is no row {int(outside[0])}: the data have {n} rows, numbered from 0"
            )
        return numbers if self.places is None else np.argsort(self.places)[numbers]

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
        """Check the content hash of images, then put the rows into canonical order.

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
        refuse_other_content(found, expected, len(labels), where, remedy)
        order = canonical_order(digests)
        groups = None if groups is None else groups[order].astype(np.int64)
        if expected_groups is not None and (
            groups is None or groups_hash(groups) != expected_groups
        ):
            raise LetheError(f"{where}: its rows are not grouped as they should be; {remedy}")
        return cls(images[order], labels[order].astype(np.int64), found, groups)


def refuse_other_content(found: str, expected: str, rows: int, where: str, remedy: str) -> None:
    """Refuse a set whose content is another.

    Args:
        found: its content hash.
        expected: the one that it should have.
        rows: that were read.
        where: what was read.
        remedy: what to do.

    Raises:
        LetheError: if the hashes differ.
    """
    if found != expected:
        raise LetheError(
            f"{where}: its content hash is {found[:16]}..., not {expected[:16]}... "
            f"({rows} rows read); {remedy}"
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A verified data set.

    Attributes:
        name: as in experiments.
        classes: number of labels; 1 where the target is a real number, of one output.
        train: the rows to draw training rows from.
        test: the official test rows, or None where there is no official test split.
        columns: of a table; none of images.
        label_names: what the source calls the labels, in order; None where it has numbers alone.
        caveats: in words, what was fitted on all rows, and so on rows that may be forgotten.
        target: the real numbers to predict; None where these are classes.
    """

    name: str
    classes: int
    train: Part
    test: Part | None
    columns: tuple[Column, ...] = ()
    label_names: tuple[str, ...] | None = None
    caveats: tuple[str, ...] = ()
    target: RealTarget | None = None

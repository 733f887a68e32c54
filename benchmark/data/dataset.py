"""A data set in memory: its columns, its content hash, the ids and the order of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmark.errors import LetheError
from benchmark.rows import RealTarget

#: Of claims on a table whose scale is fitted on rows that a request may name.
SCALE_CAVEAT = (
    "features are standardised by the mean and the deviation of training rows that may be forgotten"
)


@dataclass(frozen=True)
class Column:
    """One column of a table as its file has it.

    Attributes:
        name: in the file.
        categories: how many there are, each an input that is 0 or 1; None for a number.
        low, high: the range that a number is declared to be in; None where it is not.
    """

    name: str
    categories: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return 1 if self.categories is None else self.categories


# The content hash of a data set, and the order of its rows that seeds index.
#
# Neither depends on row order, container or compression: the same set from the hub, from a
# parquet file or from a cache has the same hash and the same canonical order.


def row_digests(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, 32) uint8: sha256 of each row's pixel bytes followed by one byte of label.

    Args:
        images: (n, height, width) or (n, height, width, channel) uint8.
        labels: (n,), each below 256.
    """
    n = len(labels)
    flat = np.ascontiguousarray(images, dtype=np.uint8).reshape(n, -1)
    keyed = np.concatenate([flat, labels.astype(np.uint8).reshape(n, 1)], axis=1)
    joined = b"".join(hashlib.sha256(row).digest() for row in keyed)
    return np.frombuffer(joined, dtype=np.uint8).reshape(n, 32)


def canonical_order(digests: np.ndarray) -> np.ndarray:
    """(n,) indices that sort the rows by digest, equal rows in their given order."""
    return np.argsort(np.ascontiguousarray(digests).view("S32").ravel(), kind="stable")


def content_hash(digests: np.ndarray) -> str:
    """sha256, in hex, over the concatenation of the sorted row digests."""
    return hashlib.sha256(digests[canonical_order(digests)].tobytes()).hexdigest()


def groups_hash(groups: np.ndarray) -> str:
    """sha256, in hex, over (n,) group numbers in canonical order, 8 bytes each, little endian."""
    return hashlib.sha256(groups.astype("<i8").tobytes()).hexdigest()


def table_digests(kinds: str, numbers: np.ndarray, texts: list[tuple[str, ...]]) -> np.ndarray:
    """(n, 32) uint8: sha256 of each row of a table with its label.

    Hashed are the kinds of the columns, the numbers as float64, little endian, and each text as
    its length in bytes, four of them, and its UTF-8.

    Args:
        kinds: a letter a column, `n` of a number and `t` of a text, and at the end `r` where a real
            number is predicted, the last of `numbers`.
        numbers: (n, k) float64, of the columns of numbers.
        texts: of each row those of the other columns, then its label unless that is a number.
    """
    start = hashlib.sha256(f"{kinds}|".encode())
    plain = np.ascontiguousarray(numbers + 0.0, dtype="<f8")  # -0 becomes 0
    rows = []
    for row, words in zip(plain, texts, strict=True):
        digest = start.copy()
        digest.update(row.tobytes())
        for word in words:
            content = word.encode("utf-8", errors="replace")
            digest.update(len(content).to_bytes(4, "little") + content)
        rows.append(digest.digest())
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(texts), 32)


#: What a hash of an id looks like.
PATTERN = r"^[0-9a-f]{64}$"


def hashed(ids: Iterable[object], content_hash: str) -> tuple[str, ...]:
    """The sha256, in hex, of each id, with the data set's content hash as salt.

    Records hold these. Whoever guesses an id can still check the guess.

    Args:
        ids: texts or numbers; 17, 17.0 and "17" are the same.
        content_hash: of the rows the ids name.
    """
    salt = f"{content_hash}|".encode()
    return tuple(hashlib.sha256(salt + text_of(one).encode()).hexdigest() for one in ids)


def text_of(value: Any) -> str:
    """A cell as text: the same of 17, 17.0 and " 17 ", whatever file it was read from."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    try:
        number = float(value) if not isinstance(value, str) else None
    except (TypeError, ValueError):
        number = None
    if number is None:
        return str(value).strip()
    whole = number.is_integer() and abs(number) < 2**53
    return str(int(value)) if whole else repr(number)


# A data set in memory, verified and in canonical order.


@dataclass(frozen=True, eq=False)
class Part:
    """One official split, its rows images or those of a table.

    Attributes:
        rows: (n, height, width[, channel]) uint8 images, or a table (n, inputs) float64 whose
            numbers are not scaled yet; in canonical order.
        labels: (n,) int64; of a real target (n,) float64, scaled to -1..1.
        content_hash: hex; see `benchmark.data.dataset`.
        groups: (n,) int64, equal for rows that must not be divided between training and held-out
            rows; None where rows are independent.
        ids: the hash of each row's id, see `benchmark.data.dataset`; None where rows have no ids.
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

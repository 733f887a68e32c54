"""The content hash of a data set, and the order of its rows that seeds index.

Neither depends on row order, container or compression: the same set from the hub, from a
parquet file or from a cache has the same hash and the same canonical order.
"""

from __future__ import annotations

import hashlib

import numpy as np


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

"""Features of a whole part, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.data.array_file import kept_array, tracked
from benchmark.data.dataset import Part
from benchmark.data.features import DESCRIPTORS, Features, compute
from benchmark.files import cache_folder

BATCH = 250  # rows


def rows(part: Part, kind: Features, levels: int, index: np.ndarray) -> np.ndarray:
    """(len(index), inputs): the features of the rows `index` of `part`.

    Raises:
        LetheError: for an unknown kind, or if the cache cannot be written.
    """
    if kind not in DESCRIPTORS:
        return compute(kind, part.images[index], levels)
    return whole(part, kind, levels)[index]


def whole(part: Part, kind: Features, levels: int) -> np.ndarray:
    """(n, inputs) float32, mapped from disk and read-only: a descriptor of every row of `part`.

    Raises:
        LetheError: if the cache cannot be written.
    """
    path, n = cached_file(part, kind), len(part.labels)
    return np.asarray(kept_array(path, _batches(part, kind, levels), n, np.float32))


def cached_file(part: Part, kind: Features) -> Path:
    """Where the features lie; the name says of what content, by which version."""
    name = f"{part.content_hash[:16]}-{kind}-v{DESCRIPTORS[kind].version}.npy"
    return cache_folder() / "features" / name


def _batches(part: Part, kind: Features, levels: int) -> Iterator[np.ndarray]:
    """The features, some rows at a time."""
    for start in tracked(range(0, len(part.labels), BATCH), f"computing {kind} features"):
        yield compute(kind, part.images[start : start + BATCH], levels)

"""Features of a whole part, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.data.array_file import kept_array, tracked
from benchmark.data.dataset import Part
from benchmark.data.features import of_image
from benchmark.files import cache_folder

BATCH = 250  # rows


def rows(part: Part, kind: str, levels: int, index: np.ndarray) -> np.ndarray:
    """(len(index), inputs): the features of the rows `index` of `part`.

    Raises:
        LetheError: for an unknown kind, or if the cache cannot be written.
    """
    feature = of_image(kind)
    if feature.version is None:
        return feature.compute(part.images[index], levels)
    return whole(part, kind, levels)[index]


def whole(part: Part, kind: str, levels: int) -> np.ndarray:
    """(n, inputs) float32, mapped from disk and read-only: a descriptor of every row of `part`.

    Raises:
        LetheError: if the cache cannot be written.
    """
    path, n = cached_file(part, kind), len(part.labels)
    return np.asarray(kept_array(path, _batches(part, kind, levels), n, np.float32))


def cached_file(part: Part, kind: str) -> Path:
    """Where the features lie; the name says of what content, by which version."""
    name = f"{part.content_hash[:16]}-{kind}-v{of_image(kind).version}.npy"
    return cache_folder() / "features" / name


def _batches(part: Part, kind: str, levels: int) -> Iterator[np.ndarray]:
    """The features, some rows at a time."""
    for start in tracked(range(0, len(part.labels), BATCH), f"computing {kind} features"):
        yield of_image(kind).compute(part.images[start : start + BATCH], levels)

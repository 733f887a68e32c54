"""Fixed features: functions of one row alone, computed once and kept on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmark import plugins
from benchmark.data.array_file import kept_array, tracked
from benchmark.data.dataset import Column, Part
from benchmark.errors import LetheError
from benchmark.files import cache_folder

# Fixed features: functions of one row alone, so that nothing fitted has to be unlearned.
#
# A feature is a class in `benchmark/features/`, or in the entry-point group `lethe.features`.

#: From a table (n, inputs) as it was read to its features (n, inputs), both float64.
Scale = Callable[[np.ndarray], np.ndarray]


class ImageFeature(ABC):
    """A function of one image.

    Attributes:
        name: as in experiments.
        title: for people.
        source: the paper, or whose it is.
        largest_norm: no row is longer, whatever the image; None where nothing is known.
        keeps_image: whether a row is still the image: what convolutions can look at.
        version: of numbers that are worth keeping on disk, raised when they change; None for what
            is computed anew each time.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    largest_norm: ClassVar[float | None] = None
    keeps_image: ClassVar[bool] = False
    version: ClassVar[int | None] = None

    @classmethod
    @abstractmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        """(n, inputs), float32 if it is kept on disk.

        Args:
            images: (n, height, width[, channel]) uint8 in 0..levels.
            levels: the largest pixel value of the data set.

        Raises:
            LetheError: for images that it is no function of.
        """


class TableFeature(ABC):
    """A way to bring the columns of a table to one scale.

    Attributes:
        name: as in experiments.
        title: for people.
        source: the paper, or whose it is.
        largest_norm: no row is longer, whatever it holds; None where nothing is known.
        fitted: whether `scale` looks at the rows that it is given. Unless these are public, a
            claim then carries a caveat.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    largest_norm: ClassVar[float | None] = None
    fitted: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def scale(cls, columns: tuple[Column, ...], rows: np.ndarray) -> Scale:
        """How rows are scaled.

        Args:
            columns: of the table.
            rows: (m, inputs) to fit on: public ones if there are any, else those to train on.

        Raises:
            LetheError: if it does not suit the columns.
        """


Feature = ImageFeature | TableFeature

KIND = plugins.Kind[Feature](
    word="feature",
    wanted="an ImageFeature or TableFeature class",
    accepts=lambda cls: issubclass(cls, ImageFeature | TableFeature),
    packages=("benchmark.features",),
    group="lethe.features",
)


#: All features by name, in the order of files, then plug-ins.
discover = KIND.classes
#: The feature of a name; a LetheError if there is none.
find = KIND.find


def of_images() -> list[str]:
    """The names of features of images."""
    return list(_images())


def of_tables() -> list[str]:
    """The names of features of tables."""
    return [name for name, found in discover().items() if issubclass(found, TableFeature)]


def keeping_images() -> list[str]:
    """The names of features that convolutions can look at."""
    return [name for name, found in _images().items() if found.keeps_image]


def _images() -> dict[str, type[ImageFeature]]:
    return {n: found for n, found in discover().items() if issubclass(found, ImageFeature)}


def of_image(name: str) -> type[ImageFeature]:
    """The feature of images called `name`.

    Raises:
        LetheError: if there is none, or it is one of tables.
    """
    found = find(name)
    if not issubclass(found, ImageFeature):
        raise LetheError(
            f"features '{name}' are for tables, and these are images: take {', '.join(of_images())}"
        )
    return found


def compute(name: str, images: np.ndarray, levels: int) -> np.ndarray:
    """(n, inputs) features of uint8 `images` (n, height, width[, channel]) in 0..levels.

    Raises:
        LetheError: for an unknown name, or images that the feature is no function of.
    """
    return of_image(name).compute(images, levels)


def unit_rows(raw: np.ndarray) -> np.ndarray:
    """(n, inputs) float32: the rows of `raw` scaled to a norm in [1 - 3e-7, 1].

    Rounding to float32 changes an entry by a share of 2^-24 at most; shrinking by twice that
    first keeps the norm at 1 or below, whatever precision it is computed in afterwards. A row of
    norm below 0.01 is blank but for round-off, and stays small.
    """
    raw = raw.astype(np.float64)
    norms = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 0.01)
    return (raw / (norms * (1 + 2**-23))).astype(np.float32)


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

"""A data set with a name: what a file in `benchmark/data/sets`, or a plug-in, declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from benchmark.data import images
from benchmark.data.dataset import Dataset
from benchmark.data.images import Source


class NamedSet(ABC):
    """A data set that experiments call by its name.

    Attributes:
        name: as in experiments.
        title: what people call it; lists of experiments are sorted by it.
        source: whom to cite.
        levels: the largest pixel value there can be.
        features: those of an experiment that names none.
        official_test: whether it has test rows of its own.
        made_of: the set that it is computed from, which takes long; None where it is read.
        real_target: whether a real number is predicted, and not classes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    levels: ClassVar[int] = 255
    features: ClassVar[str] = "unit-pixels"
    official_test: ClassVar[bool] = False
    made_of: ClassVar[str | None] = None
    real_target: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def load(cls) -> Dataset:
        """The whole set, verified.

        Raises:
            LetheError: if no source has it, or its content is not what it should be.
        """

    @classmethod
    def absent(cls) -> str:
        """Why it cannot be loaded without a download, and what to do; "" if it can."""
        return ""


class ImageSet(NamedSet):
    """A set of images that is read from `$LETHE_DATA` or from the Hugging Face hub.

    A class declares `images` alone; the rest follows.
    """

    images: ClassVar[Source]

    def __init_subclass__(cls, **more: Any) -> None:
        """Take from `images` what every set declares."""
        super().__init_subclass__(**more)
        of = cls.images
        cls.name, cls.title, cls.source = of.name, of.family, of.citation
        cls.official_test = "test" in of.hashes

    @classmethod
    def load(cls) -> Dataset:
        """See `benchmark.data.images.load`."""
        return images.load(cls.images)

    @classmethod
    def absent(cls) -> str:
        """What to do where neither a decoded copy nor the files are here."""
        source = cls.images
        here = all(
            images.cached_file(source, split).exists() or images.local_files(source, split)
            for split in source.hashes
        )
        if here:
            return ""
        hub = "" if source.hub is None else ", or it is downloaded when first asked for"
        return f"set LETHE_DATA{hub}"

"""Data sets with a name: what a file in `benchmark/data/sets`, or a plug-in, declares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from benchmark.data import images
from benchmark.data.dataset import Dataset, Part, refuse_other_content
from benchmark.data.images import Source
from benchmark.data.own.table import Roles, Table, dataset
from benchmark.errors import LetheError


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


# Tables that have a name: read from `$LETHE_DATA/tabular` or embedded, with declared columns.


class TableSet(NamedSet):
    """A table whose columns, categories and ranges are declared, so that nothing is fitted.

    Attributes:
        roles: of its columns; every category and range is declared.
        hashes: the content hash of `train`, and of `test` where there are official test rows.
        files: of each of them, under `$LETHE_DATA/tabular`; none where the table is embedded.
    """

    features = "declared-ranges"
    roles: ClassVar[Roles]
    hashes: ClassVar[dict[str, str]]
    files: ClassVar[dict[str, str]] = {}

    @classmethod
    @abstractmethod
    def read(cls, split: str) -> Table:
        """The rows of a split as they stand.

        Raises:
            LetheError: if they cannot be read.
        """

    @classmethod
    def load(cls) -> Dataset:
        """The set, verified against the project's content hashes."""
        found = {split: dataset(cls.read(split), cls.roles, cls.name) for split in cls.hashes}
        whole = found["train"]
        parts = {split: cls._verified(one.train, split) for split, one in found.items()}
        return Dataset(
            cls.name,
            whole.classes,
            parts["train"],
            parts.get("test"),
            whole.columns,
            whole.label_names,
            target=whole.target,
        )

    @classmethod
    def absent(cls) -> str:
        """What to do where a file is not here."""
        try:
            for split in cls.files:
                cls.path(split)
        except LetheError as error:
            return str(error).rpartition(": ")[2]
        return ""

    @classmethod
    def path(cls, split: str) -> Path:
        """The file of a split.

        Raises:
            LetheError: if it is not there.
        """
        file = f"tabular/{cls.files[split]}"
        folder = images.local_folder()
        if folder is None or not (folder / file).is_file():
            raise LetheError(
                f"{cls.title}: it is not downloaded: set LETHE_DATA to a folder that holds {file}"
            )
        return folder / file

    @classmethod
    def _verified(cls, part: Part, split: str) -> Part:
        where, remedy = f"{cls.title} {split}", "take the published file"
        if split not in cls.files:
            remedy = "install the scikit-learn version in constraints.txt"
        rows = len(part.labels)
        refuse_other_content(part.content_hash, cls.hashes[split], rows, where, remedy)
        return part

"""Tables that have a name: read from `$LETHE_DATA/tabular` or embedded, with declared columns."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from benchmark.data import images
from benchmark.data.dataset import Dataset, Part, refuse_other_content
from benchmark.data.named import NamedSet
from benchmark.data.own.table import Roles, Table, dataset
from benchmark.errors import LetheError


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

"""Image sets: read from a decoded cache, `$LETHE_DATA`, or the hub, in this order."""

from __future__ import annotations

import io
import logging
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.data.dataset import Dataset, Part
from benchmark.errors import LetheError
from benchmark.files import cache_folder, replace_file, sweep

#: Pixels along a side of an image; those of the data sets have 32.
_LARGEST = 1024


@dataclass(frozen=True)
class Source:
    """Where a data set comes from and what it must contain.

    Attributes:
        name: as in experiments.
        title: for people.
        family: the same where a list of experiments is sorted by data set.
        folder: its folder under `$LETHE_DATA`.
        hub: repository on the hub, or None if the set is not there.
        image_column: its column of images there; `$LETHE_DATA` files call theirs `image`.
        classes: number of labels.
        hashes: the content hash of each split.
        groups: the hash of the groups of each split whose rows are grouped by source image: the
            number before `_` in the path of a row's image. Without one, rows are independent.
        citation: whom to thank.
    """

    name: str
    title: str
    family: str
    folder: str
    hub: str | None
    image_column: str
    classes: int
    hashes: dict[str, str]
    citation: str
    groups: dict[str, str] = field(default_factory=dict)


def load(source: Source) -> Dataset:
    """The whole set, verified against the project's content hashes.

    Raises:
        LetheError: if it can be had from nowhere, cannot be read, or is not what it should be.
    """
    parts = {split: _load_split(source, split) for split in source.hashes}
    return Dataset(source.name, source.classes, parts["train"], parts.get("test"))


def local_folder() -> Path | None:
    """The folder `$LETHE_DATA` names, or None if it is not set.

    Raises:
        LetheError: if it names no folder.
    """
    value = os.environ.get("LETHE_DATA")
    if not value:
        return None
    folder = Path(value)
    if not folder.is_dir():
        raise LetheError(f"LETHE_DATA is '{value}', which is no folder: correct it or unset it")
    return folder


def local_files(source: Source, split: str) -> list[Path]:
    """The parquet files of a split under `$LETHE_DATA`, none if it is not set or has no such."""
    folder = local_folder()
    return sorted((folder / source.folder).glob(f"{split}-*.parquet")) if folder else []


def cached_file(source: Source, split: str) -> Path:
    """Where the decoded copy of a split lies; its name holds the content hash."""
    return cache_folder() / "data" / f"{source.name}-{split}-{source.hashes[split][:16]}.npz"


def _load_split(source: Source, split: str) -> Part:
    expected, expected_groups = source.hashes[split], source.groups.get(split)
    cached = cached_file(source, split)
    files = local_files(source, split)  # first, so that a wrong LETHE_DATA is never silent
    if cached.exists():
        try:
            with np.load(cached) as arrays:
                images, labels, groups = arrays["images"], arrays["labels"], arrays.get("groups")
            where, remedy = str(cached), "it will be made anew"
            return Part.verified(images, labels, expected, where, remedy, groups, expected_groups)
        except (LetheError, OSError, ValueError, KeyError, EOFError, BadZipFile):
            cached.unlink()  # a damaged cache is no source: read the original again
    if files:
        where = f"{source.title} {split} in {files[0].parent}"
        table, column = _read_parquet(files, where), "image"
        remedy = "replace the file"
        if source.hub is not None:
            remedy += ", or unset LETHE_DATA to download the set"
    else:
        where = f"{source.title} {split} from the hub ({source.hub})"
        table, column = _download(source, split), source.image_column
        remedy = "the hub's copy has changed: use a LETHE_DATA folder with the original"
    images, labels = _decode(table, column, where)
    groups = _source_images(table, column, where) if expected_groups else None
    part = Part.verified(images, labels, expected, where, remedy, groups, expected_groups)
    arrays = {"images": part.images, "labels": part.labels}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays if groups is None else {**arrays, "groups": part.groups})
    sweep(cached.parent)
    replace_file(cached, buffer.getvalue())
    return part


def _read_parquet(files: list[Path], where: str) -> pa.Table:
    try:
        return pa.concat_tables([pq.read_table(file) for file in files])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LetheError(f"{where}: the parquet file is damaged ({reason}); replace it") from error


def _download(source: Source, split: str) -> pa.Table:
    wanted = f"set LETHE_DATA to a folder that holds {source.folder}/{split}-00000-of-00001.parquet"
    if source.hub is None:
        raise LetheError(f"{source.title}: it is not on the hub; {wanted}")
    import datasets  # slow to import, and only needed here

    datasets.utils.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; the end is ours
    try:
        loaded = datasets.load_dataset(source.hub, split=split)
    except Exception as error:  # the hub client raises dozens of unrelated types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LetheError(
            f"{source.title}: it could not be downloaded ({reason[:120]}); check the network, or "
            f"{wanted}"
        ) from error
    undecoded = loaded.cast_column(source.image_column, datasets.Image(decode=False))
    return undecoded.with_format("arrow")[:]


def _decode(table: pa.Table, column: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """(n, height, width[, channel]) uint8 images and (n,) int64 labels."""
    try:
        blobs = pa.chunked_array(table.column(column)).combine_chunks().field("bytes")
        images = np.stack([decoded(blob.as_py()) for blob in blobs])
        labels = table.column("label").to_numpy()
        if labels.dtype.kind not in "iu":
            raise ValueError(f"labels are of type {table.column('label').type}, not whole numbers")
    except Exception as error:  # Pillow and pyarrow have dozens of ways to say that it is no image
        reason = " ".join(str(error).split())[:200]
        raise LetheError(
            f"{where}: its rows are not images with a label ({reason}); it wants the columns "
            f"'{column}' (struct with bytes) and 'label' (whole numbers)"
        ) from error
    return images, labels


def decoded(content: bytes) -> np.ndarray:
    """(height, width[, channel]); its size is looked at before it is decoded.

    Raises:
        ValueError: if it is too large; Pillow raises others for what is no image.
    """
    from PIL import Image  # only where pixels are read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(content))
    if max(image.size) > _LARGEST:
        raise ValueError("an image of {} x {} pixels".format(*image.size))
    return np.asarray(image)


def _source_images(table: pa.Table, column: str, where: str) -> np.ndarray:
    """(n,) int64: for each row the number before `_` in the path of its image."""
    try:
        paths = pa.chunked_array(table.column(column)).combine_chunks().field("path").to_pylist()
        return np.array([int(path.split("_")[0]) for path in paths], dtype=np.int64)
    except (KeyError, AttributeError, ValueError) as error:
        raise LetheError(
            f"{where}: its rows do not name their source image ({error}); it wants paths like "
            f"'00012_1.png' in the column '{column}'"
        ) from error

"""Tables and images in Parquet files and in data sets that the `datasets` library saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.data.images import decoded
from benchmark.data.own.table import Table
from benchmark.errors import LetheError


def read_parquet(path: Path) -> Table:
    """The table in a Parquet file.

    Raises:
        LetheError: if it cannot be read, is none, or has a column of neither numbers nor texts.
    """
    try:
        found = pq.read_table(path)
    except OSError as error:
        reason = error.strerror or "damaged"
        raise LetheError(f"data file {path} cannot be read ({reason})") from error
    except pa.ArrowException as error:
        raise LetheError(
            f"{path.name} is no Parquet file or a damaged one: write it again, or name it by its "
            "kind, e.g. data = { csv = ... }"
        ) from error
    return _table(found, path.name)


def read_saved(folder: Path) -> Table:
    """The table in a folder that `datasets.Dataset.save_to_disk` wrote.

    Raises:
        LetheError: if there is none, it holds several splits, or as of `read_parquet`.
    """
    if not folder.is_dir():
        raise LetheError(f"data set {folder} is no folder: name what save_to_disk wrote")
    if (folder / "dataset_dict.json").exists():
        splits = sorted(one.name for one in folder.iterdir() if one.is_dir())
        raise LetheError(
            f"{folder.name} holds several splits: name the folder of one, e.g. "
            f"'{folder.name}/{splits[0] if splits else 'train'}'"
        )
    import datasets  # slow to import, and only needed here

    try:
        found = datasets.load_from_disk(str(folder))
        # rows that were selected or sorted away are no rows
        table = found.with_format("arrow")[:]
    except Exception as error:  # the library raises many unrelated types
        raise LetheError(
            f"{folder.name} is no data set that datasets.Dataset.save_to_disk wrote, or a damaged "
            f"one ({type(error).__name__}): save it again"
        ) from error
    return _table(table, folder.name)


def _table(found: pa.Table, where: str) -> Table:
    twice = [name for name in found.column_names if found.column_names.count(name) > 1]
    if twice:
        raise LetheError(f"{where}: two columns are called '{twice[0]}': rename one")
    columns = {name: _cells(found.column(name), name, where) for name in found.column_names}
    return Table(where, columns)


def _cells(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    """(n,) float64 or texts; of images (n, height, width[, channel]) uint8."""
    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return _images(column, name, where)
    if pa.types.is_dictionary(kind):
        column = pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks])
        kind = column.type if column.num_chunks else kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        cells = [None if one is None else float(one) for one in column.to_pylist()]
        return np.array([np.nan if one is None else one for one in cells], dtype=np.float64)
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        cells = column.to_pylist()
        texts = [one if one is None or isinstance(one, str) else str(one) for one in cells]
        return np.array(texts, dtype=object)
    if pa.types.is_null(kind):
        return np.array([None] * len(column), dtype=object)
    raise LetheError(
        f"{where}: column '{name}' is of type {kind}, neither numbers nor texts: write it as "
        "numbers, or leave it out with data.drop"
    )


def _images(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray:
    """(n, height, width[, channel]) uint8, from what the `datasets` library calls images."""
    found: list[np.ndarray] = []
    for index, cell in enumerate(column.to_pylist()):
        try:
            image = decoded(cell["bytes"])
        except Exception as error:  # Pillow has dozens of ways to say that it is no image
            raise LetheError(
                f"{where}: row {index}, column '{name}': no image in it, or one that is too large: "
                "leave the row out, or save images with their bytes"
            ) from error
        if (found and image.shape != found[0].shape) or image.dtype != np.uint8:
            raise LetheError(
                f"{where}: row {index}, column '{name}': an image of another shape or type than "
                "the first: bring all to one size and to 8 bits a channel"
            )
        found.append(image)
    return np.stack(found) if found else np.zeros((0, 1, 1), np.uint8)

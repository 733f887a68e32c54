"""Tables and images in files: text, Parquet, and data sets that the `datasets` library saved."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmark.data.images import decoded
from benchmark.data.own.table import Table
from benchmark.errors import LetheError
from benchmark.files import read_text, text_in

# Tables in text files.


#: How files of other kinds begin, and what to write instead of `csv`.
_OTHERS = {b"PAR1": "parquet", b"PK\x03\x04": "npz", b"ARROW1": "datasets"}
_GZIP = b"\x1f\x8b"


def read_csv(path: Path, separator: str = ",") -> Table:
    """The table in a file of separated values, its first line the names of the columns.

    Args:
        path: UTF-8; compressed by gzip or not.
        separator: between cells.

    Raises:
        LetheError: if it cannot be read, is another kind of file, or its lines differ in length.
    """
    where = path.name
    lines = _lines(text_of_file(path), separator, where)
    if not lines:
        raise LetheError(
            f"{where}: the file is empty: it wants a line of column names and rows below"
        )
    names = tuple(name.strip() for name in lines.pop(0)[1])
    _check_header(names, separator, where)
    for number, cells in lines:
        if len(cells) != len(names):
            raise LetheError(
                f"{where}: line {number} has {len(cells)} cells and the header {len(names)}: "
                "mend the line, put a cell that holds the separator in quotes, or set "
                "data.separator"
            )
    columns = {
        name: np.array([cells[i].strip() for _, cells in lines], dtype=object)
        for i, name in enumerate(names)
    }
    numbers = [number for number, _ in lines]
    return Table(where, columns, lambda index: f"line {numbers[index]}")


def text_of_file(path: Path) -> str:
    """The text of a file, compressed by gzip or not.

    Raises:
        LetheError: if it cannot be read, has another encoding or is another kind of file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if start.startswith(_GZIP):
            return text_in(gzip.decompress(path.read_bytes()), f"data file {path}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "damaged"
        raise LetheError(
            f"data file {path} cannot be read ({reason}): correct its name, which starts from the "
            "study's folder, or write it again"
        ) from error
    for mark, kind in _OTHERS.items():
        if start.startswith(mark):
            raise LetheError(
                f"{path.name} is no text: it looks like a file for data = {{ {kind} = ... }}"
            )
    return read_text(path, "data file")


def _lines(text: str, separator: str, where: str) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not blank, with the number of the line that it ends on."""
    if len(separator) != 1:
        raise LetheError(f"data.separator is one character, not {separator!r}")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise LetheError(
            f"{where}: line {reader.line_num} cannot be read as separated values ({error}): mend "
            "its quotes"
        ) from error


def _check_header(names: tuple[str, ...], separator: str, where: str) -> None:
    if len(names) == 1:
        other = next((one for one in ";\t|," if one != separator and one in names[0]), None)
        if other is not None:
            raise LetheError(
                f"{where}: its cells seem to be separated by {other!r}: set data.separator = "
                f"{other!r}"
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or "" in names:
        column = names.index("" if "" in names else twice[0]) + 1
        what = "has no name" if "" in names else "has the name of another one"
        raise LetheError(
            f"{where}: line 1, column {column} {what}: give every column a name of its own"
        )


# Parquet files, and data sets that the `datasets` library saved.


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

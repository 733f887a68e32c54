"""Tables in text files."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from benchmark.data.own.table import Table
from benchmark.errors import LetheError
from benchmark.files import read_text, text_in

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

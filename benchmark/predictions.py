"""Predictions of releases, kept beside their records: metrics need no second run.

A file lies under the key of its record, which is the hash of everything that determines both, and
behind a checksum: what is missing or damaged was not kept. The folder may be deleted.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.contract.value import Value
from benchmark.files import replace_file, seal, unsealed
from benchmark.metrics.metric import DOT, NOT_KEPT, Numbers, Predictions, measured
from benchmark.records import Record

_FOLDER = ".predictions"
#: Hexadecimal digits of a key that name its file.
_DIGITS = 32


def path_of(results: Path, key: str) -> Path:
    """Where a results folder keeps the predictions of the record with that key."""
    return results / _FOLDER / f"{key[:_DIGITS]}.npz"


def content_of(parts: Mapping[str, Predictions | Numbers]) -> bytes:
    """The predictions on each part of the data, as the content of a file."""
    arrays: dict[str, Any] = {}
    for part, found in parts.items():
        if isinstance(found, Numbers):
            arrays[f"{part}{DOT}predicted"] = found.predicted
            arrays[f"{part}{DOT}targets"] = found.targets
            continue
        arrays[f"{part}{DOT}log_probabilities"] = found.log_probabilities.astype(np.float32)
        arrays[f"{part}{DOT}labels"] = found.labels.astype(np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def write(results: Path, key: str, content: bytes) -> None:
    """Keep the predictions of the record with that key.

    Raises:
        DiskError: if the folder cannot be written.
    """
    replace_file(path_of(results, key), seal(content))


def read(results: Path, key: str) -> dict[str, Predictions | Numbers] | None:
    """The predictions of the record with that key, by part; None if they were not kept."""
    content = unsealed(path_of(results, key))
    if content is None:
        return None
    with np.load(io.BytesIO(content)) as found:
        parts = dict.fromkeys(name.partition(DOT)[0] for name in found.files)
        return {part: _part(found, part) for part in parts}


def _part(found: Mapping[str, Any], part: str) -> Predictions | Numbers:
    """The predictions on one part of the data."""
    numbers = f"{part}{DOT}predicted" in found
    kind, names = (
        (Numbers, ("predicted", "targets"))
        if numbers
        else (Predictions, ("log_probabilities", "labels"))
    )
    return kind(*(found[f"{part}{DOT}{name}"] for name in names))


def with_metrics(results: Path, records: Iterable[Record]) -> list[Record]:
    """The records with the metrics of what was kept of their releases; their files stay.

    Where nothing was kept of a record, but of another of its experiment, its metrics say so.
    """
    records = list(records)
    if not (results / _FOLDER).is_dir():
        return records
    known: dict[str, dict[str, Value]] = {}
    columns: dict[str, dict[str, Value]] = defaultdict(dict)
    for record in records:
        parts = read(results, record.key) if record.status == "ok" else None
        if parts is not None:
            known[record.key] = measured(parts)
            columns[record.experiment] |= known[record.key]
    missing = Value(value=None, note=NOT_KEPT)
    return [
        record.model_copy(
            update={
                "metrics": record.metrics
                | (known.get(record.key) or dict.fromkeys(columns[record.experiment], missing))
            }
        )
        for record in records
    ]

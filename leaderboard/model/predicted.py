"""Columns of what releases predict, from the log-probabilities that were kept beside records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmark.metrics.metric import DOT, of_column
from benchmark.predictions import with_metrics
from benchmark.records import Record
from leaderboard.model.columns import BY_KEY, Column
from leaderboard.model.table import Row, Table


def measured(results: Path, tables: Iterable[Table]) -> list[Table]:
    """The tables of a results folder with the metrics of what was kept of each release."""
    return [
        replace(table, rows=tuple(replace(row, cells=cells) for row, cells in rows))
        for table in tables
        for rows in [_cells(results, table)]
    ]


def _cells(results: Path, table: Table) -> list[tuple[Row, dict[int, Record | None]]]:
    found = {record.path: record for record in with_metrics(results, table.records)}
    return [
        (row, {s: None if r is None else found[r.path] for s, r in row.cells.items()})
        for row in table.rows
    ]


def column(key: str) -> Column | None:
    """The column of a metric of predictions, e.g. `calibration.test`; None of any other name.

    That of one which was measured at once, such as `rmse.retain`, reads the record's `rmse_retain`.
    """
    metric = of_column(key)
    if metric is None:
        return None
    _, part, *words = key.split(DOT)
    header = " ".join([metric.title, *words]) + f", {part}"
    recorded = key.replace(DOT, "_")
    return Column(
        key,
        header,
        metric.unit,
        metric.meaning,
        lambda record: record.metrics.get(key) or record.metrics.get(recorded),
    )


def any_column(key: str) -> Column | None:
    """The column of that name, on the board or of predictions; None if there is none."""
    return BY_KEY.get(key) or column(key)

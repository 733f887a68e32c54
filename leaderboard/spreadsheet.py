"""The board as CSV: every row of every table, raw numbers."""

from __future__ import annotations

import csv
import io
import json
import math

from benchmark.records import Record, Value
from leaderboard.columns import COLUMNS, Column
from leaderboard.ranking import entries, yardsticks
from leaderboard.table import Row, Table


def _certificate(key: str) -> Column:
    def read(record: Record) -> Value | None:
        if record.certificate is None:
            return None
        value = getattr(record.certificate, key)
        return Value(value=value if math.isfinite(value) else None)

    return Column(key, key, "", "", read)


_COLUMNS = (*map(_certificate, ("epsilon", "delta", "sensitivity", "sigma")), *COLUMNS)


def render_csv(tables: list[Table]) -> str:
    """One line for each row of each table, after a line of names.

    A column gives three fields: mean, half-width of the 95 % interval and number of seeds; the
    geometric mean has the interval's factor in place of the half-width.
    """
    file = io.StringIO()
    lines = [_line(table, row) for table in tables for row in yardsticks(table) + entries(table)]
    writer = csv.DictWriter(file, fieldnames=list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def _line(table: Table, row: Row) -> dict[str, object]:
    method = row.found[0].method if row.found else None
    certificate = row.certificates[0] if row.certificates else None
    line: dict[str, object] = {
        "experiment": table.experiment,
        "device": table.device,
        "role": row.role,
        "label": row.label,
        "title": row.title,
        "method": method.name if method else "",
        "paper": method.paper if method else "",
        "url": method.url if method else "",
        "params": json.dumps(method.params, sort_keys=True) if method else "",
        "status": row.void or ("complete" if row.complete else "incomplete"),
        "verdict": row.verdict,
        "violated": "violated" if row.violations else "",
        "definition": certificate.definition if certificate else "",
        "mode": certificate.mode if certificate else "",
        "seeds_planned": len(row.cells),
        "seeds_ok": len(row.done),
        "seeds_failed": len(row.failed),
        "seeds_missing": len(row.missing),
    }
    for column in _COLUMNS:
        mean, spread = ("geometric_mean", "factor") if column.ratio else ("mean", "half_width")
        estimate = row.estimate(column)
        line[f"{column.key}_{mean}"] = _raw(estimate.mean if estimate else None)
        line[f"{column.key}_{spread}"] = _raw(estimate.spread if estimate else None)
        line[f"{column.key}_n"] = estimate.n if estimate else 0
    return line


def _raw(value: float | None) -> str:
    # ten digits: the last ones of a double differ between versions of the maths library
    return "" if value is None else f"{value:.10g}"

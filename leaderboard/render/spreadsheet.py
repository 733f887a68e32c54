"""The board as CSV, raw numbers: a line a row of a table, and a line a seed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from itertools import chain

from benchmark.contract.claim import Claim, Evidence
from benchmark.contract.guarantee import Guarantee
from benchmark.records import Record, Value
from leaderboard.model.columns import COLUMNS, Column
from leaderboard.model.ranking import in_order
from leaderboard.model.table import Row, Table, predicted_column


def _from_claim(key: str, read: Callable[[Claim], float | None]) -> Column:
    def value(record: Record) -> Value | None:
        return None if record.claim is None else Value(value=read(record.claim))

    return Column(key, key, "", "", value)


def _from_evidence(key: str) -> Column:
    return _from_claim(key, lambda claim: getattr(claim.evidence, key, None))


_COLUMNS = (
    _from_claim("epsilon", lambda claim: claim.epsilon),
    _from_claim("delta", lambda claim: claim.delta),
    _from_claim("m", lambda claim: claim.guarantee.m),
    *map(_from_evidence, ("bound", "sigma", "reached")),
    *COLUMNS,
)


def render_csv(tables: list[Table]) -> str:
    """One line for each row of each table, after a line of names.

    A column gives three fields: mean, half-width of the 95 % interval and number of seeds; the
    geometric mean has the interval's factor in place of the half-width.
    """
    return _written(_line(table, row) for table in tables for row in in_order(table))


def render_seeds(tables: list[Table]) -> str:
    """One line for each seed of each row that has a record, after a line of names."""
    return seeds_of((table, row) for table in tables for row in in_order(table))


def seeds_of(rows: Iterable[tuple[Table, Row]]) -> str:
    """The same of some rows, each with its table.

    Metrics of kept predictions have columns where some record of these rows has them; the others
    then say that nothing was kept of them.
    """
    rows = list(rows)
    names = {name for _, row in rows for record in row.found for name in record.metrics}
    further = [column for name in sorted(names) if (column := predicted_column(name))]
    return _written(
        _seed(table, row, record, further) for table, row in rows for record in row.found
    )


def _written(lines: Iterable[dict[str, object]]) -> str:
    """The lines as CSV; the first one has the names of all."""
    file = io.StringIO()
    lines = iter(lines)
    first = next(lines, {})
    writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
    writer.writeheader()
    writer.writerows(line for line in chain([first], lines) if line)
    return file.getvalue()


def _seed(table: Table, row: Row, record: Record, further: list[Column]) -> dict[str, object]:
    """Every metric of a record; of a failed one, that it failed."""
    done = record.status == "ok"
    found = {c.key: c.read(record) if done else None for c in _COLUMNS}
    read = {c.key: c.read(record) if done else None for c in further}
    kept = {
        key: "" if value is None else value.note or _raw(value.value) for key, value in read.items()
    }
    return (
        {
            "experiment": table.experiment,
            "device": table.device,
            "role": row.role,
            "label": row.label,
            "seed": record.seeds.split,
            "status": record.status,
            "verdict": record.verdict if done else "",
            "definition": record.claim.definition if done and record.claim else "",
        }
        | {key: _raw(value.value if value else None) for key, value in found.items()}
        | kept
    )


def _line(table: Table, row: Row) -> dict[str, object]:
    method = row.found[0].method if row.found else None
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
        "violated": "; ".join(dict.fromkeys(x for texts in row.violations.values() for x in texts)),
        "definition": ", ".join(row.definitions),
        "guarantee": _kinds(claim.guarantee for claim in row.claims),
        "evidence": _kinds(claim.evidence for claim in row.claims),
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


def _kinds(parts: Iterable[Guarantee | Evidence]) -> str:
    return ", ".join(sorted({part.kind for part in parts}))


def _raw(value: float | None) -> str:
    # ten digits: the last ones of a double differ between versions of the maths library
    return "" if value is None else f"{value:.10g}"

"""The board as CSV: every row of every table, raw numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable

from benchmark.contract.claim import Claim, Evidence
from benchmark.contract.guarantee import Guarantee
from benchmark.records import Record, Value
from leaderboard.columns import COLUMNS, Column
from leaderboard.ranking import in_order
from leaderboard.table import Row, Table


def _of_claim(key: str, read: Callable[[Claim], float | None]) -> Column:
    def value(record: Record) -> Value | None:
        return None if record.claim is None else Value(value=read(record.claim))

    return Column(key, key, "", "", value)


def _of_evidence(key: str) -> Column:
    return _of_claim(key, lambda claim: getattr(claim.evidence, key, None))


_COLUMNS = (
    _of_claim("epsilon", lambda claim: claim.epsilon),
    _of_claim("delta", lambda claim: claim.delta),
    _of_claim("m", lambda claim: claim.guarantee.m),
    *map(_of_evidence, ("bound", "sigma", "reached")),
    *COLUMNS,
)


def render_csv(tables: list[Table]) -> str:
    """One line for each row of each table, after a line of names.

    A column gives three fields: mean, half-width of the 95 % interval and number of seeds; the
    geometric mean has the interval's factor in place of the half-width.
    """
    file = io.StringIO()
    lines = [_line(table, row) for table in tables for row in in_order(table)]
    writer = csv.DictWriter(file, fieldnames=list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


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

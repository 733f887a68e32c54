"""Is certified unlearning faster than retraining, and by how much?"""

from __future__ import annotations

from benchmark.errors import AssumptionBroken
from leaderboard.answers import utility
from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    in_stream,
    mean,
    name,
    problem,
    seeds,
    single,
    unanswered,
)
from leaderboard.model.columns import BY_KEY
from leaderboard.model.evidence import Evidence
from leaderboard.model.interval import Estimate, geometric
from leaderboard.model.numbers import number, span
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import erases_the_model
from leaderboard.model.table import Row, Table

ORDER = 10
SLUG = "answer-speed"
QUESTION = "Is certified unlearning faster than retraining, and by how much?"
COMMAND = "make mnist RESULTS=leaderboard/results"

#: Points of test accuracy that a row may lose against retraining to count as an answer.
LOSS = 1.0

_COLUMNS = (
    "fastest per request",
    "speed-up (×)",
    "test gap (points)",
    "pays after (requests)",
    "fastest, once-only work counted",
    "speed-up of one request (×)",
    "rows faster by their interval",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The fastest proved row of each problem, with and without what is computed once."""
    asked = [table for table in evidence.problems if not _is_stream(table)]
    found = [(table, rows) for table in asked if (rows := _timed(table))]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    rest = [table for table in asked if not _timed(table)]
    lost = [table for table in rest if single(table)]
    unproved = [table for table in rest if not single(table)]
    refused = [table for table in unproved if _is_refused(table)]
    missing = [table for table in unproved if not _is_refused(table)]
    return Answer(
        SLUG,
        QUESTION,
        text=" ".join([*_faster(found, len(asked)), _at_once(found), *_others(lost, refused)]),
        missing=f"No row is proved on {_listed(missing)}." if missing else "",
        command=utility.COMMAND if missing else "",
        lines="Problem",
        grid=grid(_COLUMNS, [_line(problem(table), rows) for table, rows in found]),
    )


def whole(row: Row) -> Estimate | None:
    """Retraining over the first request with all that was spent before it, as a geometric mean."""
    times = [record.times for record in row.done.values() if record.times]
    ratios = [
        t.retrain / (t.unlearn + t.precomputation + (t.tuning or 0))
        for t in times
        if min(t.unlearn, t.retrain) > 0
    ]
    return geometric(ratios) if ratios else None


def settled(speedup: Estimate) -> bool:
    """Whether the whole interval is above 1; one seed has none."""
    return speedup.spread is not None and speedup.mean / speedup.spread > 1


def _timed(table: Table) -> list[Row]:
    """The proved rows with a speed-up that lose no more than `LOSS`, fastest first."""
    rows = [
        row
        for row in single(table)
        if mean(row, "speedup") is not None and (mean(row, "accuracy_test_gap") or 0) >= -LOSS
    ]
    return sorted(rows, key=lambda row: -mean(row, "speedup"))


def _is_stream(table: Table) -> bool:
    """Whether it is about more than one request; without facts the records know."""
    if table.facts is not None:
        return table.facts.requests > 1
    return any(map(in_stream, table.records))


def _is_refused(table: Table) -> bool:
    """Whether every entry ran, and the certified ones gave no proof rather than break down."""
    rows = entries(table)
    certified = [row for row in rows if any(record.method.certifies for record in row.found)]
    broken = [
        record
        for row in certified
        for record in row.failed.values()
        if record.failure is None or record.failure.type != AssumptionBroken.__name__
    ]
    return bool(certified) and not broken and all(row.found for row in rows)


def _is_linear(table: Table) -> bool:
    """Whether the model is known to be linear."""
    return table.facts is not None and table.facts.linear


def _first(rows: list[Row]) -> Row:
    """The fastest on its first request."""
    return max(rows, key=lambda row: whole(row).mean)


def _settled(rows: list[Row]) -> list[Row]:
    return [row for row in rows if settled(row.estimate(BY_KEY["speedup"]))]


def _listed(tables: list[Table]) -> str:
    return "; ".join(map(problem, tables))


def _faster(found: list[tuple[Table, list[Row]]], asked: int) -> list[str]:
    """On how many problems a row is faster request by request, and of what kind these are."""
    won = [(table, faster) for table, rows in found if (faster := _settled(rows))]
    best = [rows[0] for _, rows in won]
    rest = [(table, rows) for table, rows in found if not _settled(rows)]
    likely = [rows for _, rows in rest if mean(rows[0], "speedup") > 1]
    alone = sum(all(len(row.done) == 1 for row in rows) for rows in likely)
    slower = [table for table, rows in rest if mean(rows[0], "speedup") <= 1]
    parts = [
        f"Of {counted(asked, 'problem')}, {len(found)} have a proved row that loses no more than "
        f"{LOSS:g} point. On {len(won)} of these one is faster than retraining, request by "
        "request, with an interval of the speed-up that excludes 1" + (":" if won else ".")
    ]
    if won:
        gaps = [gap for row in best if (gap := mean(row, "accuracy_test_gap")) is not None]
        at = f", at a test gap of {span(gaps)} points" if gaps else ""
        speedups = [mean(row, "speedup") for row in best]
        parts.append(f"the fastest by {span(speedups)} times{at}.")
        parts.append(_keeping(won))
    if alone:
        parts.append(f"On {alone} more one is faster, with one seed: no interval, not settled.")
    if len(likely) > alone:
        parts.append(f"On {len(likely) - alone} more one is on average; the interval covers 1.")
    if slower:
        parts.append(f"None is faster on {_listed(slower)}.")
    return parts


def _keeping(won: list[tuple[Table, list[Row]]]) -> str:
    """On how many problems a faster row does not erase the model."""
    kept = [
        (table, left)
        for table, rows in won
        if (left := [row for row in rows if not erases_the_model(row)])
    ]
    text = (
        "Without rows that erase the model, which do as well from zero weights, these are "
        f"{len(kept)}"
    )
    if kept:
        text += f", by {span([mean(left[0], 'speedup') for _, left in kept])} times"
        text += ", all with a linear head" if all(_is_linear(t) for t, _ in kept) else ""
    return f"{text}."


def _at_once(found: list[tuple[Table, list[Row]]]) -> str:
    faster = [[one for row in rows if settled(one := whole(row))] for _, rows in found]
    best = [max(one.mean for one in ones) for ones in faster if ones]
    return (
        "With the work done once for all requests counted against a single one, some row, of those "
        f"that erase the model too, is faster on {len(best)}, by its interval"
        + (f": {span(best)} times." if best else ".")
    )


def _others(lost: list[Table], refused: list[Table]) -> list[str]:
    parts = []
    if lost:
        parts.append(f"No proved row loses so little on {_listed(lost)}.")
    if refused:
        parts.append(
            f"Nothing is proved on {_listed(refused)}: every claim was refused there, or "
            "proves nothing."
        )
    return [
        *parts,
        "Rows that are exact by construction count as proved; streams are further down.",
    ]


def _line(title: str, rows: list[Row]) -> Line:
    row, first = rows[0], _first(rows)
    one = whole(first)
    spread = "" if one.spread is None else f" ×÷ {number(one.spread)}"
    alone = " (n = 1)" if all(len(each.done) == 1 for each in rows) else ""
    return Line(
        title,
        "",
        (
            Cell(name(row)),
            cell(row, "speedup"),
            cell(row, "accuracy_test_gap"),
            cell(row, "pays_after"),
            Cell(name(first)),
            Cell(number(one.mean) + spread),
            Cell(f"{len(_settled(rows))} of {len(rows)}{alone}"),
            Cell(seeds(rows)),
        ),
    )

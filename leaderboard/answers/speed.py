"""Is certified unlearning faster than retraining, and by how much?"""

from __future__ import annotations

from leaderboard.answers.answer import (
    Answer,
    Evidence,
    cell,
    counted,
    grid,
    mean,
    name,
    problem,
    seeds,
    single,
    unanswered,
)
from leaderboard.grid import Cell, Line
from leaderboard.interval import Estimate, geometric
from leaderboard.numbers import number, span
from leaderboard.shown import erases_the_model
from leaderboard.table import Row, Table

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
    "rows faster than retraining",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """The fastest proved row of each problem, with and without what is computed once."""
    found = [(problem(table), rows) for table in evidence.problems if (rows := _timed(table))]
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    rest = [t for t in evidence.problems if not _timed(t) and not _is_stream(t)]
    lost = [problem(table) for table in rest if single(table)]
    missing = [problem(table) for table in rest if not single(table)]
    return Answer(
        SLUG,
        QUESTION,
        text=_text(found, lost),
        missing=f"No row is proved on {'; '.join(missing)}." if missing else "",
        command=COMMAND if missing else "",
        lines="Problem",
        grid=grid(_COLUMNS, [_line(title, rows) for title, rows in found]),
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


def _timed(table: Table) -> list[Row]:
    """The proved rows with a speed-up that lose no more than `LOSS`, fastest first."""
    rows = [
        row
        for row in single(table)
        if mean(row, "speedup") is not None and (mean(row, "accuracy_test_gap") or 0) >= -LOSS
    ]
    return sorted(rows, key=lambda row: -mean(row, "speedup"))


def _is_stream(table: Table) -> bool:
    return "stream" in table.settings.get("request", "")


def _first(rows: list[Row]) -> Row:
    """The fastest on its first request."""
    return max(rows, key=lambda row: whole(row).mean)


def _text(found: list[tuple[str, list[Row]]], lost: list[str]) -> str:
    faster = [rows[0] for _, rows in found if mean(rows[0], "speedup") > 1]
    won = [mean(row, "speedup") for row in faster]
    slower = [title for title, rows in found if mean(rows[0], "speedup") <= 1]
    parts = [f"On {len(won)} of {counted(len(found), 'problem')} some proved row that"]
    parts.append(f"loses no more than {LOSS:g} point is faster than retraining, request by request")
    parts[-1] += ":" if won else "."
    if won:
        gaps = [gap for row in faster if (gap := mean(row, "accuracy_test_gap")) is not None]
        at = f", at a test gap of {span(gaps)} points" if gaps else ""
        parts.append(f"the fastest by {span(won)} times{at}.")
    if erased := sum(map(erases_the_model, faster)):
        parts.append(
            f"Of these fastest rows {erased} erase the model: the same algorithm from zero weights "
            "does as well."
        )
    once = [whole(_first(rows)).mean for _, rows in found]
    kept = [ratio for ratio in once if ratio > 1]
    parts.append(
        "With the work done once for all requests counted against a single one, some row is "
        f"faster on {len(kept)}" + (f", by {span(kept)} times." if kept else ".")
    )
    if slower:
        parts.append(f"None is faster on {'; '.join(slower)}.")
    if lost:
        parts.append(f"No proved row loses so little on {'; '.join(lost)}.")
    alone = sum(len(rows[0].done) == 1 for _, rows in found)
    if alone:
        parts.append(f"{counted(alone, 'problem')} of these ran with one seed, so no interval.")
    parts.append("Rows that are exact by construction count as proved; streams are further down.")
    return " ".join(parts)


def _line(title: str, rows: list[Row]) -> Line:
    row, first = rows[0], _first(rows)
    one = whole(first)
    spread = "" if one.spread is None else f" ×÷ {number(one.spread)}"
    faster = sum(mean(each, "speedup") > 1 for each in rows)
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
            Cell(f"{faster} of {len(rows)}"),
            Cell(seeds(rows)),
        ),
    )

"""Is certified unlearning faster than retraining, and by how much?"""

from __future__ import annotations

from benchmark.errors import AssumptionBroken, present
from leaderboard.answers import utility
from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    in_stream,
    mean,
    name,
    number_of,
    problem,
    seeds,
    single,
    unanswered,
)
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import Estimate, geometric, number, span
from leaderboard.model.ranking import LOSS, entries
from leaderboard.model.section import Cell, Line, grid
from leaderboard.model.shown import erases_the_model
from leaderboard.model.table import Evidence, Row, Table

ORDER = 10
SLUG = "answer-speed"
QUESTION = "Is certified unlearning faster than retraining, and by how much?"
COMMAND = "make mnist RESULTS=leaderboard/results"

_COLUMNS = (
    "fastest per request",
    "speed-up (×)",
    "test gap (points)",
    "break-even (requests)",
    "fastest, one-off work included",
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
        short=_short(found, len(asked)),
        points=(*_faster(found, len(asked)), _at_once(found), *_others(lost, refused)),
        notes=(
            "Rows that are exact by construction count as proved. Streams of requests have a "
            "question of their own.",
        ),
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
        if mean(row, "speedup") is not None
        and (gap := mean(row, "accuracy_test_gap")) is not None
        and gap >= -LOSS
    ]
    return sorted(rows, key=lambda row: -number_of(row, "speedup"))


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
    return max(rows, key=lambda row: present(whole(row)).mean)


def _settled(rows: list[Row]) -> list[Row]:
    return [row for row in rows if settled(present(row.estimate(BY_KEY["speedup"])))]


def _listed(tables: list[Table]) -> str:
    return "; ".join(map(problem, tables))


def _won(found: list[tuple[Table, list[Row]]]) -> list[tuple[Table, list[Row]]]:
    """The problems with the rows that are faster than retraining by their interval."""
    return [(table, faster) for table, rows in found if (faster := _settled(rows))]


def _kept(found: list[tuple[Table, list[Row]]]) -> list[tuple[Table, list[Row]]]:
    """The problems with a faster row that does not erase the model, and these rows."""
    return [
        (table, left)
        for table, rows in _won(found)
        if (left := [row for row in rows if not erases_the_model(row)])
    ]


def _times(found: list[tuple[Table, list[Row]]]) -> str:
    """The speed-ups of the fastest row of each problem."""
    return f"{span([number_of(rows[0], 'speedup') for _, rows in found])} times"


def _heads(found: list[tuple[Table, list[Row]]]) -> str:
    return "all with a linear head" if all(_is_linear(table) for table, _ in found) else ""


def _short(found: list[tuple[Table, list[Row]]], asked: int) -> str:
    won, kept = _won(found), _kept(found)
    if not won:
        return f"On none of {counted(asked, 'problem')} is a proved row faster than retraining."
    parts = [
        f"On {len(won)} of {counted(asked, 'problem')} a proved row is {_times(won)} as fast as "
        "retraining."
    ]
    if kept:
        heads = f", {of}" if (of := _heads(kept)) else ""
        parts.append(f"On {len(kept)} of these the row does not erase the model{heads}.")
    return " ".join(parts)


def _faster(found: list[tuple[Table, list[Row]]], asked: int) -> list[str]:
    """On how many problems a row is faster request by request, and of what kind these are."""
    won = _won(found)
    rest = [(table, rows) for table, rows in found if not _settled(rows)]
    likely = [rows for _, rows in rest if number_of(rows[0], "speedup") > 1]
    alone = sum(all(len(row.done) == 1 for row in rows) for rows in likely)
    slower = [table for table, rows in rest if number_of(rows[0], "speedup") <= 1]
    parts = [
        f"{len(found)} of {counted(asked, 'problem')} have a proved row that loses at most "
        f"{LOSS:g} point of test accuracy. On {len(won)} of these a row is faster than retraining "
        "at each request: the whole 95 % interval of its speed-up is above 1."
    ]
    if won:
        gaps = [gap for _, rows in won if (gap := mean(rows[0], "accuracy_test_gap")) is not None]
        at = f", at a test gap of {span(gaps)} points" if gaps else ""
        parts.append(f"The fastest rows are {_times(won)} as fast as retraining{at}.")
        parts.append(_keeping(found))
    if alone:
        parts.append(
            f"On {alone} more a row is faster with one seed, which has no interval: not settled."
        )
    if len(likely) > alone:
        parts.append(
            f"On {len(likely) - alone} more a row is faster on average, but the interval includes "
            "1."
        )
    if slower:
        parts.append(f"No row is faster on {_listed(slower)}.")
    return parts


def _keeping(found: list[tuple[Table, list[Row]]]) -> str:
    """On how many problems a faster row does not erase the model."""
    kept = _kept(found)
    text = (
        "Rows that erase the model do as well from zero weights. Without them a row is faster on "
        f"{counted(len(kept), 'problem')}"
    )
    if kept:
        text += f", by {_times(kept)}"
        text += f", {of}" if (of := _heads(kept)) else ""
    return f"{text}."


def _at_once(found: list[tuple[Table, list[Row]]]) -> str:
    faster = [[one for row in rows if settled(one := present(whole(row)))] for _, rows in found]
    best = [max(one.mean for one in ones) for ones in faster if ones]
    return (
        "If a single request has to pay for all one-off work, some row is still faster on "
        f"{counted(len(best), 'problem')}, by its interval"
        + (f": {span(best)} times. Rows that erase the model are included." if best else ".")
    )


def _others(lost: list[Table], refused: list[Table]) -> list[str]:
    parts = []
    if lost:
        parts.append(f"Every proved row loses more than {LOSS:g} point on {_listed(lost)}.")
    if refused:
        parts.append(
            f"Nothing is proved on {_listed(refused)}: there every claim was refused, or is "
            "vacuous."
        )
    return parts


def _line(title: str, rows: list[Row]) -> Line:
    row, first = rows[0], _first(rows)
    one = present(whole(first))
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

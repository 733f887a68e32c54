"""What do requests on a graph cost, and how close are their bounds?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.errors import present
from benchmark.records import Record
from leaderboard.answers.answer import (
    Answer,
    counted,
    guaranteed,
    mean,
    number_of,
    seeds,
    unanswered,
)
from leaderboard.charts import graphs as plot
from leaderboard.model.numbers import number, request_in_words, span
from leaderboard.model.ranking import LOSS, entries
from leaderboard.model.section import Cell, Chart, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import Evidence, Row, Table, bounded, by_device, claimed

ORDER = 45
SLUG = "answer-graphs"
QUESTION = "What do requests on a graph cost, and how close are their bounds?"
COMMAND = "make graphs RESULTS=leaderboard/results"

#: The published bounds on one Newton step.
OF_DATA, WORST = "chien22-data", "chien22-worst"
_PANELS = {"nodes": "nodes", "edges": "edges", "features": "features"}
_COLUMNS = (
    "rows lost or altered",
    "fastest proved row",
    "its test gap (points)",
    "its speed-up (×)",
    "slack of one Newton step",
    "published data-dependent bound / distance",
    "published worst case / distance",
    "edge gap of doing nothing",
    "seeds",
)


def answer(evidence: Evidence) -> Answer:
    """Every request on a graph: what a proved answer costs, and bounds beside the truth."""
    tables = [t for t in evidence.tables if t.facts and t.facts.graph and not t.facts.trial]
    tables = [table for table in tables if any(row.done for row in table.rows)]
    if not tables:
        return unanswered(SLUG, QUESTION, COMMAND)
    return Answer(
        SLUG,
        QUESTION,
        short=_short(tables),
        points=tuple(_points(tables)),
        lines="Request",
        grid=grid(_COLUMNS, [_line(table, _named(table, tables)) for table in tables]),
        charts=tuple(_charts(tables)),
    )


def fastest(table: Table) -> Row | None:
    """The fastest row that is proved or exact and loses no more than `LOSS`."""
    found = [row for row in entries(table) if guaranteed(row) and _useful(row)]
    return max(found, key=lambda row: number_of(row, "speedup"), default=None)


def _fastest(tables: list[Table]) -> list[Row]:
    """The `fastest` row of each request that has one."""
    return [row for table in tables if (row := fastest(table))]


def _useful(row: Row) -> bool:
    gap = mean(row, "accuracy_test_gap")
    return mean(row, "speedup") is not None and gap is not None and gap >= -LOSS


def single_steps(table: Table) -> list[Record]:
    """The records of one Newton step under noise fitted to it, with a measured distance.

    Where a request reaches no training row, that distance is round-off, and a ratio to it nothing.
    """
    return [
        record
        for row in entries(table)
        for record in bounded(row)
        if present(record.claim).definition == "this-pair"
        if _distance(record) and _reached(record) != 0
    ]


def _reached(record: Record) -> float | None:
    """Training rows that its request changes; None if it does not say."""
    found = record.metrics.get("reach_rows")
    return None if found is None else found.value


def _distance(record: Record) -> float:
    found = record.metrics.get("distance")
    return (found.value if found else None) or 0.0


def _bounds(record: Record) -> dict[str, float]:
    """Bounds on the distance by their theorem; none where no distance is claimed."""
    evidence = claimed(record)
    known = {other.theorem: other.value for other in evidence.alternatives}
    return known | {evidence.theorem: evidence.reached}


def _ratios(tables: list[Table], theorem: str) -> list[float]:
    """A bound over the measured distance, of every single step that has it."""
    records = [record for table in tables for record in single_steps(table)]
    return [
        bounds[theorem] / _distance(record)
        for record in records
        if theorem in (bounds := _bounds(record))
    ]


def _slacks(tables: list[Table]) -> list[float]:
    records = [record for table in tables for record in single_steps(table)]
    return [claimed(record).reached / _distance(record) for record in records]


def _points(tables: list[Table]) -> Iterator[str]:
    rows = _fastest(tables)
    yield f"{counted(len(tables), 'kind')} of requests on graphs were answered."
    if rows:
        gaps = [number_of(row, "accuracy_test_gap") for row in rows]
        times = [number_of(row, "speedup") for row in rows]
        yield (
            f"On {len(rows)} of them a proved row loses at most {LOSS:g} point. The fastest of "
            f"each is {span(times)} times as fast as retraining, "
            f"propagation included on both sides, at a test gap of {span(gaps)} points."
        )
    if slacks := _slacks(tables):
        yield (
            f"The bound on a single Newton step is {span(slacks)} times its measured distance to "
            "the retrained weights."
        )
    data, worst = _ratios(tables, OF_DATA), _ratios(tables, WORST)
    if data and worst:
        yield (
            f"Where the published bounds speak of the same step, the data-dependent one is "
            f"{span(data)} times that distance and the worst case {span(worst)} times. They are "
            "shown for comparison and never called proved."
        )
    if edges := _edge_gaps(tables):
        yield (
            f"An attack on forgotten edges has an AUC within {number(max(edges))} of the retrained "
            "model's where nothing is done, so it cannot tell whether edges were forgotten."
            if max(edges) < 0.01
            else f"An attack on forgotten edges has an AUC that is off the retrained model's by "
            f"{span(edges)} where nothing is done."
        )
    yield from _planted(tables)


def _planted(tables: list[Table]) -> Iterator[str]:
    """Points on planted edges: what is kept of them without unlearning, and by the fastest row."""
    for table in tables:
        nothing = [row for row in table.rows if row.role == "ceiling"]
        gaps = [gap for row in nothing if (gap := mean(row, "accuracy_test_gap")) is not None]
        row = fastest(table)
        if table.known.scenario == "edges-planted" and gaps and row:
            ours = number(number_of(row, "accuracy_test_gap"))
            yield (
                f"Of {table.known.forgotten} edges planted between classes, doing nothing keeps a "
                f"test gap of {number(gaps[0])} points, and {row.title} {ours}."
            )


def _edge_gaps(tables: list[Table]) -> list[float]:
    """Edge gaps of the models as they were, on every seed."""
    return [
        present(record.metrics["edge_gap"].value)
        for table in tables
        for row in table.rows
        if row.role == "ceiling"
        for record in row.done.values()
        if "edge_gap" in record.metrics
    ]


def _short(tables: list[Table]) -> str:
    rows, slacks, data = _fastest(tables), _slacks(tables), _ratios(tables, OF_DATA)
    parts = [f"No proved row loses at most {LOSS:g} point."]
    if rows:
        times = span([number_of(row, "speedup") for row in rows])
        parts = [f"The fastest proved row has {times} times retraining's speed."]
    if slacks:
        other = f"; the published data-dependent one {span(data)} times" if data else ""
        parts.append(f"A step's bound is {span(slacks)} times the measured distance{other}.")
    return " ".join(parts)


def _line(table: Table, name: str) -> Line:
    row = fastest(table)
    texts = (
        _reach(table),
        row.title if row else NOTHING,
        number(number_of(row, "accuracy_test_gap")) if row else NOTHING,
        number(number_of(row, "speedup")) if row else NOTHING,
        _span(_slacks([table])),
        *(_span(_ratios([table], theorem)) for theorem in (OF_DATA, WORST)),
        _span(_edge_gaps([table])),
        seeds(table.rows),
    )
    return Line(name, "", tuple(map(Cell, texts)), page=f"{table.slug}.html")


def _named(table: Table, tables: list[Table]) -> str:
    """The problem and the request, with the profile and the device where several are called so."""
    facts, name = table.known, _words(table)
    if sum(_words(other) == name for other in tables) == 1:
        return name
    more = (facts.profile or "", "" if table.device == "cpu" else table.device)
    aside = ", ".join(filter(None, more))
    return f"{name} ({aside})" if aside else name


def _words(table: Table) -> str:
    return f"{table.known.problem}: {request_in_words(table.known)}"


def _span(values: list[float]) -> str:
    return span(values) if values else NOTHING


def _reach(table: Table) -> str:
    """Training rows that a request changes, over seeds."""
    records = [record for row in table.rows for record in row.done.values()]
    return _span([rows for record in records if (rows := _reached(record)) is not None])


def _charts(tables: list[Table]) -> Iterator[Chart]:
    for device, members in by_device(tables).items():
        points = [point for table in members for point in _drawn(table)]
        if points:
            suffix = "" if device == "cpu" else f"-{device.split()[0]}"
            path = f"plots/{plot.NAME}{suffix}.svg"
            yield Chart(path, plot.CAPTION, plot.draw, (points,))


def _drawn(table: Table) -> Iterator[plot.Point]:
    """Single steps that the published bounds speak of, where a request names so many."""
    facts = table.known
    if facts.scenario not in _PANELS or facts.forgotten is None or facts.requests > 1:
        return
    for record in single_steps(table):
        bounds = _bounds(record)
        if OF_DATA in bounds:
            known = {plot.MEASURED: _distance(record)} | bounds
            shown = {name: known[name] for name in plot.SERIES if name in known}
            panel = f"{facts.data_title}, {_PANELS[facts.scenario]}"
            yield plot.Point(panel, facts.forgotten, shown)

"""Which rows beat retraining for the same compute, and survive the noise-only control?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmark.records import Record
from leaderboard.answers.answer import (
    Answer,
    cell,
    counted,
    mean,
    problem,
    seeds,
    unanswered,
)
from leaderboard.charts import costs as plots
from leaderboard.model.columns import BY_KEY
from leaderboard.model.numbers import Estimate, arithmetic, measured, number
from leaderboard.model.ranking import entries
from leaderboard.model.section import Cell, Chart, Line, grid
from leaderboard.model.shown import NOTHING
from leaderboard.model.table import BUDGET, Evidence, Row, Table, by_device, tables_of

ORDER = 60
SLUG = "answer-compute"
QUESTION = "Which rows beat retraining for the same compute, and survive the noise-only control?"
COMMAND = "make budget RESULTS=leaderboard/results"

_COLUMNS = (
    "test accuracy (%)",
    "gain over retraining as long (points)",
    "gain over control (points)",
    "time over that of retraining (×)",
    "beats retraining",
    "survives the control",
    "seeds",
)
_ACCURACY = BY_KEY["accuracy_test"]
#: How often a 95 % interval lies above 0 where there is no difference.
_BY_CHANCE = 0.025


@dataclass(frozen=True)
class Contest:
    """A row with a noise-only control beside retraining for as many epochs.

    Attributes:
        problem: what people call it, without the budget.
        epochs: the budget.
    """

    problem: str
    epochs: int
    table: Table
    row: Row
    retrained: Row

    @property
    def lead(self) -> Estimate | None:
        """Test accuracy less that of retraining, points, a difference for each seed."""
        ours, theirs = (row.values(_ACCURACY) for row in (self.row, self.retrained))
        differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
        return arithmetic(differences) if differences else None

    @property
    def over_control(self) -> Estimate | None:
        """Test accuracy less that of its noise-only control, points."""
        return self.row.estimate(BY_KEY["control_accuracy_test_gap"])

    @property
    def name(self) -> str:
        return f"{problem(self.table)}: {self.row.title}"


def answer(evidence: Evidence) -> Answer:
    """Every contest, by problem and budget."""
    found = contests(evidence.tables)
    if not found:
        return unanswered(SLUG, QUESTION, COMMAND)
    there = {contest.problem for contest in found}
    asked = dict.fromkeys(table.known.problem for table in _tables(evidence.tables))
    absent = [name for name in asked if name not in there]
    return Answer(
        SLUG,
        QUESTION,
        short=_short(found),
        points=tuple(_points(found)),
        missing=_missing(found, absent),
        command=COMMAND if absent else "",
        lines="Row",
        grid=grid(_COLUMNS, [_line(contest) for contest in found]),
        charts=tuple(_charts(evidence.tables)),
    )


def contests(tables: list[Table]) -> list[Contest]:
    """Comparisons on all problems, the smallest budget first."""
    found = [
        Contest(table.known.problem, epochs, table, row, retrained)
        for table in _tables(tables)
        for epochs, retrained in _budget(table)
        for row in entries(table)
        if mean(row, "control_accuracy_test_gap") is not None
    ]
    return sorted(found, key=lambda c: (_order(c.table), c.table.device, c.epochs))


def _tables(tables: list[Table]) -> list[Table]:
    """Tables of all budgets, problem by problem."""
    return sorted(tables_of(tables, BUDGET), key=_order)


def _order(table: Table) -> tuple[str, str]:
    """Nets on the same features stand together."""
    return table.known.features, table.known.problem


def _budget(table: Table) -> Iterator[tuple[int, Row]]:
    """The table's retraining for some epochs, with their number; at most one."""
    for row in table.rows:
        if row.role == "floor" and row.done and "epochs" in row.found[0].method.params:
            yield row.found[0].method.params["epochs"], row


def clear(difference: Estimate | None) -> bool:
    """Whether it is above 0 by more than its interval, of which one seed has none."""
    if difference is None or difference.spread is None:
        return False
    return difference.mean - difference.spread > 0


def _points(found: list[Contest]) -> Iterator[str]:
    """Points on how far apart the rows are, who wins, and how many would by chance."""
    ahead, surviving = _ahead(found), _surviving(found)
    both = [contest.name for contest in ahead if contest in surviving]
    decided = [c for c in found if c.lead is not None and c.lead.spread is not None]
    leads = [contest.lead.mean for contest in found if contest.lead is not None]
    reach = f"{number(min(leads))} to {number(max(leads))} points" if leads else NOTHING
    yield (
        f"{counted(len(found), 'comparison')} of a certified row with retraining for as many "
        f"epochs, over {counted(len({c.epochs for c in found}), 'budget')} of epochs. The row's "
        f"test accuracy less that of retraining is {reach}, means over seeds."
    )
    yield f"By more than the interval, {len(ahead)} beat retraining{_listed(ahead)}."
    yield (
        f"{len(surviving)} beat the same algorithm started from zero weights by more than the "
        f"interval{_listed(surviving)}."
    )
    yield (
        f"By chance alone, about {number(_BY_CHANCE * len(decided))} of the {len(decided)} with an "
        "interval would."
    )
    yield f"Rows that beat both: {'; '.join(both) or 'none'}."


def _ahead(found: list[Contest]) -> list[Contest]:
    return [contest for contest in found if clear(contest.lead)]


def _surviving(found: list[Contest]) -> list[Contest]:
    return [contest for contest in found if clear(contest.over_control)]


def _short(found: list[Contest]) -> str:
    ahead = _ahead(found)
    both = [contest for contest in _surviving(found) if contest in ahead]
    text = (
        f"In {len(ahead)} of {counted(len(found), 'comparison')} a certified row beats retraining "
        "for as many epochs."
    )
    if not ahead:
        return text
    if not both:
        return (
            f"{text} There the same algorithm started from zero weights does as well: the original "
            "model contributes nothing."
        )
    return f"{text} In {len(both)} of these it beats the same algorithm from zero weights as well."


def _listed(some: list[Contest]) -> str:
    return f" ({'; '.join(contest.name for contest in some)})" if some else ""


def _missing(found: list[Contest], absent: list[str]) -> str:
    parts = [f"No record of {'; '.join(absent)}."] if absent else []
    if any(contest.lead is None or contest.lead.spread is None for contest in found):
        parts.append("With one seed there is no interval, and nothing is told apart.")
    return " ".join(parts)


def _line(contest: Contest) -> Line:
    row, lead = contest.row, contest.lead
    return Line(
        contest.name,
        "",
        (
            cell(row, "accuracy_test"),
            Cell(NOTHING if lead is None else _signed(lead)),
            cell(row, "control_accuracy_test_gap"),
            Cell(_time(contest)),
            Cell("yes" if clear(lead) else "no"),
            Cell("yes" if clear(contest.over_control) else "no"),
            Cell(seeds([row])),
        ),
    )


def _signed(estimate: Estimate) -> str:
    value, spread = measured(estimate.mean, estimate.spread, signed=True)
    return f"{value} ± {spread}" if spread else value


def _time(contest: Contest) -> str:
    """Time of one request over that of retraining; both have as many trials of tuning."""
    ours, theirs = (mean(row, "unlearn") for row in (contest.row, contest.retrained))
    return number(ours / theirs) if ours and theirs else NOTHING


def _charts(tables: list[Table]) -> Iterator[Chart]:
    for device, members in by_device(_tables(tables)).items():
        drawn = [point for table in members for point in points(table)]
        if drawn:
            suffix = "" if device == "cpu" else f"-{device.split()[0]}"
            yield Chart(f"plots/budget{suffix}.svg", plots.BUDGET, plots.draw_budget, (drawn,))


def points(table: Table) -> Iterator[plots.BudgetPoint]:
    """Every seed of every row, if the table's budget is known."""
    for epochs, retrained in _budget(table):
        theirs = retrained.values(_ACCURACY)
        for row in (retrained, *entries(table)):
            for seed, ours in row.values(_ACCURACY).items():
                yield plots.BudgetPoint(
                    problem=table.known.problem,
                    series="" if row is retrained else row.title,
                    epochs=epochs,
                    accuracy=ours,
                    control=_control(row.done[seed]),
                    lead=ours - theirs[seed] if seed in theirs else None,
                )


def _control(record: Record) -> float | None:
    value = record.metrics.get("control_accuracy_test")
    return None if value is None else value.value

"""What every format says about a row, before it is put into that format's syntax."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.columns import BY_KEY, COLUMNS, Column
from leaderboard.numbers import measured, number, span
from leaderboard.ranking import Mark
from leaderboard.table import Row, Table, settings_differ

#: What stands where there is no number.
NOTHING = "–"
_OVER_CONTROL = BY_KEY["control_accuracy_test_gap"]


@dataclass(frozen=True)
class Shown:
    """A number as the tables show it.

    Attributes:
        mean: the number, or a dash.
        spread: with its sign, e.g. `± 0.3`; "" if there is no interval.
        count: `n = ` seeds if the mean lacks some of the row's, else "".
        mark: whether it is best.
    """

    mean: str
    spread: str
    count: str
    mark: Mark

    @property
    def blank(self) -> bool:
        return self.mean == NOTHING

    @property
    def line(self) -> str:
        return " ".join(filter(None, [self.mean, self.spread, self.count and f"({self.count})"]))


@dataclass(frozen=True)
class Certified:
    """The statement of a row's certificates: (epsilon, delta) with their ranges over seeds.

    Attributes:
        composed: epsilon of a stream's releases together; "" where there is one release.
    """

    epsilon: str
    delta: str
    definition: str
    mode: str
    composed: str

    @property
    def kind(self) -> str:
        together = f"ε {self.composed} composed" if self.composed else ""
        return ", ".join(filter(None, [self.definition, self.mode, together]))


def shown(row: Row, column: Column, mark: Mark = "") -> Shown:
    """A row's number in a column."""
    estimate = row.estimate(column)
    if estimate is None:
        return Shown(NOTHING, "", "", "")
    count = "" if estimate.n == len(row.cells) else f"n = {estimate.n}"
    if column.ratio:
        spread = "" if estimate.spread is None else f"×÷ {number(estimate.spread)}"
        return Shown(number(estimate.mean), spread, count, mark)
    signed = next(iter(row.read(column).values())).direction == "zero"
    mean, spread = measured(estimate.mean, estimate.spread, signed=signed)
    return Shown(mean, f"± {spread}" if spread else "", count, mark)


def certified(row: Row) -> Certified | None:
    """The row's (epsilon, delta); None without a certificate."""
    if not row.certificates:
        return None
    streams = [record.stream for record in row.done.values() if record.stream]
    composed = [e for stream in streams if (e := stream[-1].composed_epsilon) is not None]
    return Certified(
        epsilon=span([c.epsilon for c in row.certificates], 2),
        delta=span([c.delta for c in row.certificates], 2),
        definition=", ".join(sorted({c.definition for c in row.certificates})),
        mode=", ".join(sorted({c.mode for c in row.certificates})),
        composed=span(composed, 2) if composed else "",
    )


def seeds(row: Row) -> str:
    """How many of the planned seeds the row has, and what became of the others."""
    parts = [f"{len(row.done)}/{len(row.cells)} seeds"]
    if row.failed:
        parts.append(f"{len(row.failed)} failed")
    if row.missing:
        parts.append(f"{len(row.missing)} missing")
    return ", ".join(parts)


def failures(row: Row) -> dict[int, str]:
    """The error of each failed seed, as one line."""
    errors = {}
    for seed, record in row.failed.items():
        failure = record.failure
        where = f" ({failure.where})" if failure and failure.where else ""
        text = f"{failure.type}: {failure.message}{where}" if failure else "no error was recorded"
        errors[seed] = " ".join(text.split())
    return errors


def remarks(table: Table) -> list[str]:
    """What a reader must know about the table before comparing its rows."""
    found = []
    if not table.planned:
        found.append("This experiment has no plan: what may be missing cannot be told.")
    if table.uncounted:
        listed = ", ".join(map(str, table.uncounted))
        found.append(
            f"There are records of seeds that the plan does not have ({listed}): left out."
        )
    if settings_differ(table.records, ("problem", "forget", "target")):
        found.append("The records come from different settings of the experiment: run it again.")
    for row in table.rows:
        if settings_differ(row.found, ("method", "method_source", "params")):
            found.append(f"{row.title}: its seeds ran with different parameters or source.")
        if erases_the_model(row):
            found.append(
                f"{row.title} is not told from its noise-only control, the same algorithm with the "
                "same noise from zero weights: the 95 % interval of what it has over it reaches "
                "down to 0. The board says of such a row that it erases the model."
            )
        elif _one_seed(row):
            found.append(f"{row.title}: one seed cannot tell it from its noise-only control.")
        found += _blanks(row)
    return found


def erases_the_model(row: Row) -> bool:
    """Whether what the row has over its control cannot be told from nothing, or is less.

    That is, the t interval over seeds reaches down to 0. One seed has no interval and tells
    nothing.
    """
    estimate = row.estimate(_OVER_CONTROL)
    if estimate is None or estimate.spread is None:
        return False
    return estimate.mean - estimate.spread <= 0


def _one_seed(row: Row) -> bool:
    """Whether the row was held against its control on a single seed."""
    return len(row.values(_OVER_CONTROL)) == 1


def _blanks(row: Row) -> list[str]:
    """Why a number is missing from a cell that did not fail."""
    reasons = {
        (column.header, value.note)
        for column in COLUMNS
        for value in row.read(column).values()
        if value.value is None and value.note
    }
    return [f"{row.title} has no {header.lower()}: {note}." for header, note in sorted(reasons)]

"""What every format says about a row, before it is put into that format's syntax."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from benchmark.contract.claim import Claim
from benchmark.contract.definition import find
from benchmark.records import Step
from leaderboard.model.columns import BY_KEY, COLUMNS, OVER_CONTROL, Column
from leaderboard.model.numbers import measured, number, span
from leaderboard.model.ranking import Mark
from leaderboard.model.table import Row, Table, settings_differ

#: What stands where there is no number.
NOTHING = "–"
_STEPS, _FURTHER = BY_KEY["steps_taken"], BY_KEY["further_steps"]
# columns of whole numbers
_COUNTS = ("steps_taken", "further_steps", "deletion_capacity", "uniform_capacity", "pays_after")
_UNBROKEN = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Shown:
    """A number as the tables show it.

    Attributes:
        mean: the number, or a dash.
        spread: with its sign, e.g. `± 0.3`; "" if there is no interval.
        count: `n = ` seeds if the mean lacks some of the row's, else "".
        remark: of steps, how many were beyond the method's own; else "".
        mark: whether it is best.
    """

    mean: str
    spread: str
    count: str
    remark: str
    mark: Mark

    @property
    def blank(self) -> bool:
        return self.mean == NOTHING

    @property
    def line(self) -> str:
        aside = ", ".join(filter(None, [self.remark, self.count]))
        return " ".join(filter(None, [self.mean, self.spread, aside and f"({aside})"]))


@dataclass(frozen=True)
class Certified:
    """The statement of a row's claims, with the ranges of its numbers over seeds.

    Attributes:
        definition: titles of the definitions.
        m: with its sign, e.g. `m = 0.27`; "" where the two sides are the same.
        composed: epsilon of a stream's releases together, whatever the requests; "" where there
            is one release, or nothing to add up.
    """

    epsilon: str
    delta: str
    definition: str
    m: str
    composed: str

    @property
    def kind(self) -> str:
        together = f"ε {self.composed} composed" if self.composed else ""
        return ", ".join(filter(None, [self.definition, self.m, together]))


def shown(row: Row, column: Column, mark: Mark = "") -> Shown:
    """A row's number in a column."""
    estimate = row.estimate(column)
    if estimate is None:
        return Shown(NOTHING, "", "", "", "")
    count = "" if estimate.n == len(row.cells) else f"n = {estimate.n}"
    if column.ratio:
        spread = "" if estimate.spread is None else f"×÷ {number(estimate.spread)}"
        return Shown(number(estimate.mean), spread, count, "", mark)
    if column.key in _COUNTS and not estimate.spread and estimate.mean.is_integer():
        return Shown(f"{estimate.mean:.0f}", "", count, _beyond(row, column), mark)
    signed = next(iter(row.read(column).values())).direction == "zero"
    mean, spread = measured(estimate.mean, estimate.spread, signed=signed)
    return Shown(mean, f"± {spread}" if spread else "", count, _beyond(row, column), mark)


def _beyond(row: Row, column: Column) -> str:
    """The mean number of steps beyond the method's own, where there are any."""
    further = row.estimate(_FURTHER) if column is _STEPS else None
    return f"{number(further.mean, 2)} beyond its own" if further and further.mean else ""


def certified(row: Row) -> Certified | None:
    """The row's (epsilon, delta); None without a claim."""
    if not row.claims:
        return None
    composed = [e for step in last_steps(row) if (e := step.composed_epsilon)]
    return Certified(
        epsilon=span([claim.epsilon for claim in row.claims], 2),
        delta=span([claim.delta for claim in row.claims], 2),
        definition=definitions(row),
        m=gaussian(row.claims),
        composed=span(composed, 2) if composed else "",
    )


def definitions(row: Row) -> str:
    """Titles of the definitions that the row's claims are in the sense of."""
    return ", ".join(find(name).title for name in row.definitions)


def gaussian(claims: list[Claim]) -> str:
    """The m of some claims with its sign, at most that of a curve; "" where the sides are equal."""
    values = [claim.guarantee.m for claim in claims if claim.guarantee.m]
    curved = any(claim.guarantee.kind == "curve" for claim in claims)
    sign = "≤" if curved else "="
    return f"m {sign} {span(values)}".replace(" ", _UNBROKEN) if values else ""


def last_steps(row: Row) -> list[Step]:
    """The last release of each seed's stream."""
    return [record.stream[-1] for record in row.done.values() if record.stream]


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
            f"There are records of seeds that the plan does not have ({listed}). They are left out."
        )
    if settings_differ(table.records, ("problem", "forget", "target")):
        found.append("The records come from different settings of the experiment: run it again.")
    processors = Counter(record.environment.cpu for record in table.records)
    if len(processors) > 1:
        of = f"of {processors.total()} records"
        listed = "; ".join(f"{name}, {n} {of}" for name, n in sorted(processors.items()))
        found.append(f"Times come from different processors, which differ in speed: {listed}.")
    found += [
        f"{row.title}: its seeds ran with different parameters or source."
        for row in table.rows
        if settings_differ(row.found, ("method", "method_source", "params"))
    ]
    return found + _against_controls(table) + _blanks(table)


def _against_controls(table: Table) -> list[str]:
    """Which rows do no better than their noise-only controls, or cannot be compared."""
    erasing = [row.title for row in table.rows if erases_the_model(row)]
    alone = [row.title for row in table.rows if len(row.values(OVER_CONTROL)) == 1]
    found = []
    if erasing:
        found.append(
            f"Erases the model: {counted(erasing)}. The same algorithm with the same noise does as "
            "well from zero weights: the 95 % interval of the gain over that control reaches down "
            "to 0."
        )
    if alone:
        found.append(
            f"Not compared with its noise-only control: {counted(alone)}. One seed has no interval."
        )
    return found


def erases_the_model(row: Row) -> bool:
    """Whether what the row has over its control cannot be told from nothing, or is less.

    That is, the t interval over seeds reaches down to 0. One seed has no interval and tells
    nothing.
    """
    estimate = row.estimate(OVER_CONTROL)
    if estimate is None or estimate.spread is None:
        return False
    return estimate.mean - estimate.spread <= 0


def _blanks(table: Table) -> list[str]:
    """Why numbers are missing from cells that did not fail: a sentence for each reason."""
    found: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for row in table.rows:
        for column in COLUMNS:
            for value in row.read(column).values():
                if value.value is None and value.note:
                    found[value.note][column.header][row.title] = None
    return [
        f"No {lower(header)} for {counted(rows)}: {note}."
        for note, headers in sorted(found.items())
        for header, rows in headers.items()
    ]


def lower(text: str) -> str:
    """The text as it stands within a sentence."""
    return f"{text[0].lower()}{text[1:]}"


def counted(titles: Collection[str]) -> str:
    """Some rows by their titles, with their number where there are several."""
    listed = "; ".join(titles)
    return listed if len(titles) == 1 else f"{len(titles)} rows ({listed})"

"""Tables that the board rests on: rows of cells, from a results folder, and their groups."""

from __future__ import annotations

import gc
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from benchmark.contract.claim import VERDICTS, Claim, Distance, Verdict
from benchmark.errors import LetheError, present
from benchmark.facts import Facts
from benchmark.metrics.metric import DOT, of_column
from benchmark.predictions import with_metrics
from benchmark.records import Environment, Plan, Record, Store, Value
from benchmark.studies.quality_record import QualityRecord
from leaderboard.model.columns import BY_KEY, TEST_GAP, Column
from leaderboard.model.numbers import Estimate, arithmetic, geometric, violations

#: The device of a table that has a plan and no records.
NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Row:
    """One method with its settings, over the table's seeds.

    Attributes:
        label: its name within the experiment.
        title: its name for people.
        role: `entry`, or the yardstick it is.
        like: the label of the row that it is, but for one setting; None if the plan knows none.
        cells: for each of the table's seeds its record, None where it is missing.
    """

    label: str
    title: str
    role: str
    cells: dict[int, Record | None]
    like: str | None = None

    @cached_property
    def found(self) -> list[Record]:
        """Every record, failed or not, by seed."""
        return [record for record in self.cells.values() if record is not None]

    @cached_property
    def done(self) -> dict[int, Record]:
        """The records that did not fail."""
        return {s: r for s, r in self.cells.items() if r is not None and r.status == "ok"}

    @property
    def failed(self) -> dict[int, Record]:
        return {s: r for s, r in self.cells.items() if r is not None and r.status == "failed"}

    @property
    def missing(self) -> list[int]:
        return [seed for seed, record in self.cells.items() if record is None]

    @property
    def complete(self) -> bool:
        return len(self.done) == len(self.cells)

    @property
    def void(self) -> str:
        """Why the row has no number at all: `failed`, `missing`, or "" if it has some."""
        if self.done:
            return ""
        return "failed" if self.failed else "missing"

    @property
    def verdict(self) -> Verdict:
        """The weakest over its seeds."""
        return max((r.verdict for r in self.done.values()), key=VERDICTS.index, default="none")

    @cached_property
    def violations(self) -> dict[int, list[str]]:
        """What was measured that the claim rules out, by seed; only seeds with something."""
        found = {seed: violations(record) for seed, record in self.done.items()}
        return {seed: texts for seed, texts in found.items() if texts}

    @property
    def claims(self) -> list[Claim]:
        return [r.claim for r in self.done.values() if r.claim is not None]

    @property
    def definitions(self) -> list[str]:
        """Names of the definitions that its claims are in the sense of."""
        return sorted({claim.definition for claim in self.claims})

    def read(self, column: Column) -> dict[int, Value]:
        """The column's entry of each seed that has one, with or without a number."""
        entries = {seed: column.read(record) for seed, record in self.done.items()}
        return {seed: entry for seed, entry in entries.items() if entry is not None}

    def values(self, column: Column) -> dict[int, float]:
        """The column's number for each seed that has one."""
        return {s: v.value for s, v in self.read(column).items() if v.value is not None}

    def estimate(self, column: Column) -> Estimate | None:
        """The column's mean over the seeds that have a number; None if none has."""
        values = list(self.values(column).values())
        if not values:
            return None
        return geometric(values) if column.ratio else arithmetic(values)


@dataclass(frozen=True)
class Table:
    """One experiment on one device.

    Attributes:
        experiment: its name.
        title, description, settings: from the plan; without one the name, "" and {}.
        facts: from the plan; None without one, or from one that an earlier version wrote.
        device: `cpu`, or `cuda` with the GPU's name.
        planned: whether there is a plan.
        rows: yardsticks and entries, in no particular order.
        uncounted: seeds with records that the plan does not have.
        slug: the table's name in addresses and file names.
    """

    experiment: str
    title: str
    description: str
    settings: dict[str, str]
    facts: Facts | None
    device: str
    planned: bool
    rows: tuple[Row, ...]
    uncounted: tuple[int, ...]
    slug: str

    @property
    def known(self) -> Facts:
        """The facts, of a table that was chosen by them."""
        return present(self.facts)

    @cached_property
    def records(self) -> list[Record]:
        """Every record that the table counts."""
        return [record for row in self.rows for record in row.found]


def filled(table: Table, columns: Iterable[Column]) -> tuple[Column, ...]:
    """The columns that some row of the table has a number for."""
    return tuple(c for c in columns if any(row.values(c) for row in table.rows))


def load(results: Path) -> list[Table]:
    """The tables of a results folder, by experiment and device.

    Raises:
        LetheError: if there is nothing in it, or a file is damaged.
    """
    store = Store(results)
    plans = {plan.experiment: plan for plan in store.plans()}
    experiments = store.experiments()
    if not experiments:
        raise LetheError(
            f"no results in {results}: run `make demo`, or `lethe run` with an experiment"
        )
    with _uncollected():
        return [
            table
            for experiment in experiments
            for table in _tables(experiment, plans.get(experiment), store.records(experiment))
        ]


@contextmanager
def _uncollected() -> Iterator[None]:
    """A block that makes many values that stay, without Python's search for garbage among them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _tables(experiment: str, plan: Plan | None, records: list[Record]) -> list[Table]:
    """An experiment's tables: times of different devices are not to be compared."""
    devices: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        devices[_device(record.environment)].append(record)
    if not devices:
        devices[NOT_RUN] = []
    return [
        _table(experiment, plan, device, devices[device], alone=len(devices) == 1)
        for device in sorted(devices)
    ]


def _table(
    experiment: str, plan: Plan | None, device: str, records: list[Record], *, alone: bool
) -> Table:
    found = {record.seeds.split for record in records}
    seeds = sorted(plan.seeds if plan else found)
    rows: dict[str, tuple[str, str]] = {}
    for record in records:
        rows[record.method.label] = (record.method.title, record.method.role)
    for row in plan.rows if plan else ():
        rows[row.label] = (row.title, row.role)
    cells = _cells(experiment, records)
    like = {row.label: row.like for row in plan.rows} if plan else {}
    titles = distinct({label: title for label, (title, _) in rows.items()})
    return Table(
        experiment=experiment,
        title=plan.title if plan else experiment,
        description=plan.description if plan else "",
        settings=plan.settings if plan else {},
        facts=plan.facts if plan else None,
        device=device,
        planned=plan is not None,
        rows=tuple(
            Row(
                label,
                titles[label],
                role,
                {seed: cells.get((label, seed)) for seed in seeds},
                like.get(label),
            )
            for label, (_, role) in sorted(rows.items())
        ),
        uncounted=tuple(sorted(found - set(seeds))),
        slug=slug(experiment if alone else f"{experiment}--{device}"),
    )


def distinct(titles: Mapping[str, str]) -> dict[str, str]:
    """Titles by label; those that several rows have, as without one of their own, name it too."""
    count = Counter(titles.values())
    return {
        label: title if count[title] == 1 else f"{title} ({label})"
        for label, title in titles.items()
    }


def _cells(experiment: str, records: Iterable[Record]) -> dict[tuple[str, int], Record]:
    """The records by label and seed; the split's seed is what numbers a cell.

    Raises:
        LetheError: if two records claim one cell, as a copied folder's do.
    """
    cells: dict[tuple[str, int], Record] = {}
    for record in records:
        place = (record.method.label, record.seeds.split)
        if place in cells:
            raise LetheError(
                f"experiment {experiment}: two records claim label '{place[0]}', seed {place[1]}: "
                "delete the copy"
            )
        cells[place] = record
    return cells


def _device(environment: Environment) -> str:
    return " · ".join(filter(None, [environment.device, environment.gpu]))


def slug(text: str) -> str:
    """The text as a part of an address or a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-")


def settings_differ(records: Iterable[Record], keys: Iterable[str]) -> bool:
    """Whether records were made from different inputs, as far as `keys` of the inputs go."""
    picked = ({key: record.inputs.get(key) for key in keys} for record in records)
    return len({json.dumps(inputs, sort_keys=True) for inputs in picked}) > 1


# The experiments of a group, and their records as points.

#: The statement that needs no convexity, by its id.
GENERAL = "thm4"

#: Groups of experiments that vary one setting of a problem, each with an answer of its own.
NONCONVERGENCE, ABLATION, BUDGET, BIASED = "nonconvergence", "ablation", "budget", "biased"
SCALE, PROPERTIES = "scale", "properties"
#: Those whose experiments are no further problems. Requests that are not random make some.
SWEEPS = frozenset({NONCONVERGENCE, ABLATION, BUDGET, SCALE, PROPERTIES})
#: The group of experiments in the paper's own setting.
PAPER = "paper"


@dataclass(frozen=True)
class Point:
    """One seed of a row: where training and method were set, and what came out.

    Attributes:
        setting: the value of what is varied.
        series: what the point is drawn as.
        bounds: on the distance to the retrained weights: `certified`, and `GENERAL` if evaluated.
        distance: measured; None where there is none, as for the residual and the gap.
        residual: of the method's linear solve.
        gap: of test accuracy, or of R² where a number is predicted, in points.
    """

    setting: float
    series: str
    epsilon: float
    bounds: dict[str, float]
    distance: float | None
    residual: float | None
    gap: float | None


def tables_of(tables: list[Table], group: str) -> list[Table]:
    """Tables of a group's experiments, without what is for trying things out.

    An experiment whose plan has no facts is in no group.
    """
    return [t for t in tables if t.facts and group in t.facts.group and not t.facts.trial]


def varies(facts: Facts) -> bool:
    """Whether it is one problem again and again: of a group above, or a sweep over a graph."""
    return bool(SWEEPS & set(facts.group)) or (facts.graph and facts.varies)


def without_variations(tables: list[Table]) -> list[Table]:
    """A table for each problem."""
    known = [(table, table.facts) for table in tables]
    return [t for t, facts in known if not facts or not (varies(facts) or BIASED in facts.group)]


def studies(tables: Iterable[Table]) -> list[str]:
    """Names of the studies that the tables' experiments are of, in order."""
    return list(dict.fromkeys(table.facts.study for table in tables if table.facts))


def by_device(tables: list[Table]) -> dict[str, list[Table]]:
    """What may share a plot."""
    return {d: [t for t in tables if t.device == d] for d in sorted({t.device for t in tables})}


def constant(record: Record, name: str) -> float | None:
    """The value of a constant of the record's claim, published or measured."""
    if record.claim is None:
        return None
    measured = getattr(record.claim.evidence, "measured", ())
    return next((c.value for c in (*record.claim.constants, *measured) if c.name == name), None)


def bounded(row: Row) -> list[Record]:
    """The records of a row that claim a distance."""
    return [r for r in row.done.values() if r.claim and isinstance(r.claim.evidence, Distance)]


def claimed(record: Record) -> Distance:
    """The evidence of a record that claims a distance."""
    return present(record.claim).distance


def bounds(record: Record) -> dict[str, float]:
    """The bound that the noise is made for, and `GENERAL`'s where it was evaluated."""
    evidence = claimed(record)
    found = {other.theorem: other.value for other in evidence.alternatives}
    found[evidence.theorem] = evidence.reached
    general = {GENERAL: found[GENERAL]} if GENERAL in found else {}
    return {"certified": evidence.bound} | general


def point(record: Record, setting: float, series: str) -> Point:
    """A record that claims a distance as a point."""
    distance, gap = record.metrics.get("distance"), TEST_GAP.read(record)
    return Point(
        setting=setting,
        series=series,
        epsilon=present(record.claim).epsilon,
        bounds=bounds(record),
        distance=None if distance is None else distance.value,
        residual=constant(record, "residual"),
        gap=None if gap is None else gap.value,
    )


@dataclass(frozen=True)
class Evidence:
    """The records of a board, as tables where there are some.

    Attributes:
        tables: of the experiments.
        quality: records of forget quality.
        results: the results folder; None where only the above count.
    """

    tables: list[Table]
    quality: list[QualityRecord] = field(default_factory=list)
    results: Path | None = None

    @property
    def problems(self) -> list[Table]:
        """The tables without those of studies that vary a problem's settings."""
        return without_variations(self.tables)


# with commas between thousands
_NUMBER = re.compile(r"(\d+(?:,\d{3})*)")
_UNKNOWN = "Other"


def ordered(tables: Iterable[Table]) -> list[Table]:
    """By title and device, where 2 comes before 10."""
    return sorted(tables, key=lambda table: (_natural(table.title), table.device))


def by_data_set(tables: Iterable[Table]) -> Mapping[str, list[Table]]:
    """The tables of each data set, in order."""
    found: dict[str, list[Table]] = {}
    for table in ordered(tables):
        found.setdefault(data_set(table), []).append(table)
    return found


def data_set(table: Table) -> str:
    """What people call the data set; where the plan has no facts its name in the records."""
    if table.facts is not None:
        return table.facts.data_title
    named = (record.data.name for record in table.records if record.data is not None)
    return next(named, _UNKNOWN)


def short(table: Table) -> str:
    """The title without its data set, with the device unless that is a CPU."""
    rest = table.title.removeprefix(f"{data_set(table)},").strip() or table.title
    return rest if table.device == "cpu" else f"{rest} ({table.device})"


def _natural(text: str) -> list[tuple[str, int]]:
    """A key whose numbers compare as numbers: every second part of the text is one."""
    parts = [*_NUMBER.split(text.casefold()), "0"]
    return [
        (words, int(digits.replace(",", "")))
        for words, digits in zip(parts[::2], parts[1::2], strict=True)
    ]


def measured(results: Path, tables: Iterable[Table]) -> list[Table]:
    """The tables of a results folder with the metrics of what was kept of each release."""
    return [
        replace(table, rows=tuple(replace(row, cells=cells) for row, cells in rows))
        for table in tables
        for rows in [_predicted_cells(results, table)]
    ]


def _predicted_cells(results: Path, table: Table) -> list[tuple[Row, dict[int, Record | None]]]:
    found = {record.path: record for record in with_metrics(results, table.records)}
    return [
        (row, {s: None if r is None else found[r.path] for s, r in row.cells.items()})
        for row in table.rows
    ]


def predicted_column(key: str) -> Column | None:
    """The column of a metric of predictions, e.g. `calibration.test`; None of any other name.

    That of one which was measured at once, such as `rmse.retain`, reads the record's `rmse_retain`.
    """
    metric = of_column(key)
    if metric is None:
        return None
    _, part, *words = key.split(DOT)
    header = " ".join([metric.title, *words]) + f", {part}"
    recorded = key.replace(DOT, "_")
    return Column(
        key,
        header,
        metric.unit,
        metric.meaning,
        lambda record: record.metrics.get(key) or record.metrics.get(recorded),
    )


def any_column(key: str) -> Column | None:
    """The column of that name, on the board or of predictions; None if there is none."""
    return BY_KEY.get(key) or predicted_column(key)

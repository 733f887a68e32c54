"""What the board is made of: tables of rows of cells, read from a results folder."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmark.contract.claim import VERDICTS, Claim, Verdict
from benchmark.errors import LetheError, present
from benchmark.facts import Facts
from benchmark.records import Environment, Plan, Record, Store, Value
from leaderboard.model.columns import Column
from leaderboard.model.interval import Estimate, arithmetic, geometric
from leaderboard.model.violations import violations

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
    return [
        table
        for experiment in experiments
        for table in _tables(experiment, plans.get(experiment), store.records(experiment))
    ]


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

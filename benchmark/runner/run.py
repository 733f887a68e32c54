"""Running an experiment: what is there is kept, what is missing or out of date is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import torch
from rich.console import Console

from benchmark import ends, registry
from benchmark.contract.method import PROBLEMS
from benchmark.data.forget import ForgetSpec
from benchmark.errors import LetheError, unknown
from benchmark.experiments.experiment import Experiment, Row
from benchmark.records import Plan, PlannedRow, Record, Store
from benchmark.runner.begin import begin
from benchmark.runner.cell import Cell, describe
from benchmark.runner.event import Event
from benchmark.runner.executors.executor import Executor, on_this_machine
from benchmark.runner.progress import Display
from benchmark.runner.shard import WHOLE, Shard
from benchmark.runner.unit import Unit
from benchmark.tracking import Tracker


@dataclass
class Tally:
    """How many cells were found, run and lost."""

    kept: int = 0
    ran: int = 0
    failed: list[Record] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count a cell that was kept or ran."""
        self.kept += event.kind == "kept"
        self.ran += event.kind == "ran"
        if event.record is not None and event.record.status == "failed":
            self.failed.append(event.record)


def run(
    experiments: list[Experiment],
    store: Store,
    device: torch.device,
    *,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    fresh: bool = False,
    jobs: int = 1,
    executor: Executor | None = None,
    shard: Shard = WHOLE,
    tracker: Tracker | None = None,
    console: Console | None = None,
) -> Tally:
    """Run every cell of `experiments` that `store` does not hold already.

    Args:
        experiments: what to run.
        store: where records go, one after each cell, so that a stop loses one cell at most.
        device: where to compute.
        methods: only these methods; all registered ones if None.
        seeds: only these seeds; the experiment's own if None.
        fresh: run again what is there.
        jobs: seeds run at a time, each in a process of its own with as many threads as this one.
        executor: runs the cells in place of this machine.
        shard: of the experiments' seeds, the part to run.
        tracker: a sink beside the records.
        console: for progress.

    Raises:
        LetheError: for anything wrong with the settings, the data or the disk. Nothing that was
            finished is lost.
    """
    console = console or Console(stderr=True)
    executor = executor or on_this_machine(device, jobs)
    units = units_of(experiments, device.type, methods, seeds)
    begin(experiments, [plan_of(one) for one in experiments], store)
    units = shard.of(units)
    tally = Tally()
    with Display(console, total=sum(len(unit.cells) for unit in units)) as display:

        def tell(event: Event) -> None:
            display.show(event)
            tally.add(event)
            ends.check()
            if tracker is not None and event.kind == "ran":
                tracker.log(event.record)

        executor.run(units, store, fresh, tell)
    return tally


def units_of(
    experiments: list[Experiment],
    device: str,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
) -> list[Unit]:
    """The cells of every experiment and seed, in order; see `plan_cells`.

    Raises:
        LetheError: also for a method that is in none of them.
    """
    plans = [plan_cells(one, device, methods, seeds) for one in experiments]
    there = {cell.method.name for cells in plans for cell in cells}
    for name in methods or []:
        if name not in there:
            where = ", ".join(dict.fromkeys(one.name for one in experiments))
            its = sorted({row.method for one in experiments for row in _rows(one)})
            raise LetheError(f"no method '{name}' in {where}: there is {', '.join(its)}")
    return [
        Unit(experiment, seed, list(cells))
        for experiment, plan in zip(experiments, plans, strict=True)
        for seed, cells in groupby(plan, _seed)
    ]


def plan_cells(
    experiment: Experiment,
    device: str,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
) -> list[Cell]:
    """Every cell of an experiment, seed by seed, checked before the first one runs.

    Raises:
        LetheError: for an unknown method, a wrong parameter or a negative seed.
    """
    found = registry.discover()
    for seed in seeds or []:
        if seed < 0:
            raise LetheError(f"a seed is 0 or more, not {seed}")
    for name in methods or []:
        if name not in found:
            raise unknown("method", name, found)
    rows = [row for row in _rows(experiment) if methods is None or row.method in methods]
    return [
        Cell.of(experiment, row, found[row.method], seed, device)
        for seed in dict.fromkeys(seeds or experiment.seeds)
        for row in rows
    ]


def plan_of(experiment: Experiment) -> Plan:
    """The experiment's plan, for the board: its rows whatever part of them runs now."""
    found = registry.discover()
    rows = []
    for row in _rows(experiment):
        registered = found[row.method]
        info = describe(registered.method.build(row.params), registered, row.label, row.title)
        rows.append(
            PlannedRow(
                label=info.label,
                name=info.name,
                title=info.title,
                family=info.family,
                role=info.role,
            )
        )
    return Plan(
        experiment=experiment.name,
        title=experiment.title,
        description=experiment.description,
        settings=settings(experiment),
        rows=tuple(rows),
        seeds=experiment.seeds,
    )


def settings(experiment: Experiment) -> dict[str, str]:
    """The experiment in words, for people."""
    problem, target = experiment.problem, experiment.target
    model = problem.model.model_dump()
    training = problem.training.model_dump(exclude_none=True)
    tuning = experiment.tuning
    tried = f"{tuning} settings tried of each method with a search space"
    return {
        "data": f"{problem.data}, {problem.features}",
        "model": _words(model, "kind"),
        "objective": f"{problem.objective.loss}, ridge {problem.objective.ridge:g}",
        "training": _words(training, "algorithm"),
        "request": _stream(experiment.forget.requests) + _rows_in_words(experiment.forget),
        "target": f"epsilon {target.epsilon:g}, delta {target.delta:g}",
        "precision": problem.precision,
    } | ({} if tuning is None else {"tuning": tried})


def _rows(experiment: Experiment) -> list[Row]:
    """Its rows: every method that can run on its problem, and whatever its file sets up."""
    found = registry.discover()
    missing = PROBLEMS - experiment.problem.offers
    set_up = {row.method for row in experiment.rows}
    return [
        row
        for row in experiment.rows_for(list(found))
        if row.method in set_up or not found[row.method].method.needs & missing
    ]


def _stream(requests: int) -> str:
    return "" if requests == 1 else f"a stream of {requests} × "


def _rows_in_words(forget: ForgetSpec) -> str:
    if forget.scenario == "class":
        return "all rows of one class"
    count = forget.count if forget.share is None else f"{100 * forget.share:g} %"
    return f"{count} {forget.scenario} rows"


def _words(content: dict, head: str) -> str:
    rest = {key: value for key, value in content.items() if key != head}
    return ", ".join([content[head], *(f"{k.replace('_', ' ')} {v}" for k, v in rest.items())])


def _seed(cell: Cell) -> int:
    return cell.inputs.seeds.split

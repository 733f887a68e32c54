"""Running an experiment: what is there is kept, what is missing or out of date is run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import torch
from rich.console import Console

from benchmark import json_file, registry
from benchmark.data.forget import ForgetSpec
from benchmark.errors import LetheError, unknown
from benchmark.experiments.build import fetch
from benchmark.experiments.experiment import Experiment, Row
from benchmark.records import Plan, PlannedRow, Record, Store, read_record
from benchmark.runner.cell import Cell, describe
from benchmark.runner.progress import Display
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench
from benchmark.tracking import Tracker


@dataclass
class Tally:
    """How many cells were found, run and lost."""

    kept: int = 0
    ran: int = 0
    failed: list[Record] = field(default_factory=list)


def run(
    experiments: list[Experiment],
    store: Store,
    device: torch.device,
    *,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    fresh: bool = False,
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
        tracker: a sink beside the records.
        console: for progress.

    Raises:
        LetheError: for anything wrong with the settings, the data or the disk. Nothing that was
            finished is lost.
    """
    console = console or Console(stderr=True)
    plans = [(e, plan_cells(e, device.type, methods, seeds)) for e in experiments]
    for experiment, _ in plans:
        fetch(experiment.problem)
        json_file.write(store.plan_path(experiment.name), plan_of(experiment))
    tally = Tally()
    with Display(console, total=sum(len(cells) for _, cells in plans)) as display:
        for _, cells in plans:
            for _, of_one_seed in groupby(cells, key=lambda cell: cell.inputs.seeds):
                _run_seed(of_one_seed, store, device, fresh, tracker, display, tally)
    return tally


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
    tried = f"{tuning} settings tried of each uncertified method with a search space"
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
    convex = experiment.problem.strongly_convex
    set_up = {row.method for row in experiment.rows}
    return [
        row
        for row in experiment.rows_for(list(found))
        if convex
        or row.method in set_up
        or "strong_convexity" not in found[row.method].method.needs
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


def _run_seed(
    cells: Iterable[Cell],
    store: Store,
    device: torch.device,
    fresh: bool,
    tracker: Tracker | None,
    display: Display,
    tally: Tally,
) -> None:
    """The cells of one seed; data and models are only touched if one of them has to run."""
    bench: Workbench | None = None
    for cell in cells:
        path = store.cell_path(cell.experiment, cell.info.label, cell.inputs.seeds.split)
        kept = json_file.current(partial(read_record, path), cell.inputs.key)
        if kept and not fresh:
            tally.kept += 1
            if kept.status == "failed":
                tally.failed.append(kept)
            display.advance()
            continue
        display.start(cell)
        if bench is None:
            bench = Workbench(cell.inputs, device, None if fresh else store.folder / ".artifacts")
        record = run_cell(cell, bench, display.phase)
        json_file.write(path, record)
        tally.ran += 1
        if record.status == "failed":
            tally.failed.append(record)
        display.finish(record)
        if tracker is not None:
            tracker.log(record)

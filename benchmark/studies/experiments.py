"""Experiments: every method's answer to a request, trained, unlearned and scored, by seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmark import json_file, names, registry
from benchmark.contract.method import Source
from benchmark.errors import LetheError
from benchmark.experiments.build import fetch
from benchmark.experiments.experiment import Distinct, Experiment
from benchmark.files import as_bytes, read_text, replace_file
from benchmark.records import SCHEMA, MethodInfo, Plan, Record, Store
from benchmark.runner.cell import RETRAIN, Cell, Inputs, describe
from benchmark.runner.plans import plan_cells, plan_of, rows_of, unfit
from benchmark.runner.run_cell import run_cell
from benchmark.runner.source import source_hash
from benchmark.runner.workbench import Workbench
from benchmark.study.run import Tally
from benchmark.study.run import run as run_study
from benchmark.study.study import Listener, Study, Unit

# What is settled before the first cell of an experiment: whose names are whose, data, plans.


def begin(experiments: Sequence[Experiment], plans: Sequence[Plan], store: Store) -> None:
    """Get the data of all experiments and write their plans.

    Args:
        experiments: that will run.
        plans: of each of them.
        store: where records will go.

    Raises:
        LetheError: if two studies would share a folder, the data cannot be had, a plan cannot be
            written or is of a newer version. A plan is written once the rest is in order.
    """
    _refuse_namesakes(experiments)
    named = [*store.experiments(), *(one.name for one in experiments)]
    names.refuse_twins(named, "the experiments")
    for one in experiments:
        json_file.refuse_newer(store.plan_path(one.name), SCHEMA)
        _refuse_another(one, _origin(one, store))
    for one in experiments:
        fetch(one.problem)
    for one, plan in zip(experiments, plans, strict=True):
        store.keep_plan(plan)
        if one.path is not None:
            replace_file(_origin(one, store), as_bytes(_said(one)))


def _refuse_namesakes(experiments: Sequence[Experiment]) -> None:
    for one, other in combinations(experiments, 2):
        if one.name == other.name and one.model_dump() != other.model_dump():
            raise LetheError(
                f"two experiments are called '{one.name}' ({one.path} and {other.path}): set "
                "another name in one of them"
            )


def _origin(experiment: Experiment, store: Store) -> Path:
    """A file that says where the experiment is from; like all in its folder it may be deleted."""
    return store.folder / ".artifacts" / f"{experiment.name}.study"


def _said(experiment: Experiment) -> str:
    """The experiment's file and, after a NUL, the changes to what that says, if there are any."""
    changes = experiment.changes
    if not changes:
        return str(experiment.path)
    return f"{experiment.path}\0{json.dumps(changes, sort_keys=True, default=str)}"


def _refuse_another(experiment: Experiment, origin: Path) -> None:
    """Refuse to replace records of a study of the same name that is another.

    That is one whose file lies elsewhere and says something else, or the same file with other
    changes. What a file says may change.
    """
    if experiment.path is None or not origin.is_file():
        return
    file, _, before = read_text(origin, "file").partition("\0")
    other, changes = Path(file), _said(experiment).partition("\0")[2]
    if before != changes:
        raise LetheError(
            f"{origin.parents[1]} holds records of '{experiment.name}' with "
            f"{f'the changes {before}' if before else 'no changes'}: set another name among the "
            "changes, or take another folder of results"
        )
    try:
        same = other == experiment.path or other.read_bytes() == experiment.path.read_bytes()
    except OSError:  # the other is gone: it was moved, or deleted
        return
    if not same:
        raise LetheError(
            f"{origin.parents[1]} holds records of another experiment '{experiment.name}' "
            f"({other}): set another name in {experiment.path}, or name another --results"
        )


# Experiments: every method's answer to a request, trained, unlearned and scored, seed by seed.


class Experiments(Study[Cell, Record]):
    """Cells of some experiments; those of one seed share data and trained models.

    Attributes:
        experiments: to run.
        methods: only these; all registered ones if None.
        seeds: only these; the experiment's own if None.
    """

    name: ClassVar[str] = "experiments"
    title: ClassVar[str] = "Experiments"
    source: ClassVar[Source] = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks, 2024",
        url="https://arxiv.org/abs/2408.00920",
    )
    record: ClassVar[type[Record]] = Record

    experiments: Distinct
    methods: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None

    def units(self, device: str) -> list[Unit[Cell]]:
        """The cells of every experiment and seed, in order."""
        return units_of(self.experiments, device, self.methods, self.seeds)

    def begin(self, store: Store, units: list[Unit[Cell]]) -> None:
        """Get the data and write the plans."""
        begin(self.experiments, [plan_of(one) for one in self.experiments], store)

    @classmethod
    def open(cls, pieces: Sequence[Cell], device: torch.device, folder: Path | None) -> SharedBench:
        """Problem, request and trained models of one seed."""
        return SharedBench(Workbench(pieces[0].inputs, device, folder))

    @classmethod
    def again(cls, record: Record, device: str) -> tuple[Cell, list[str]]:
        """The cell of a record."""
        return cell_again(record.inputs, device, record.experiment, record.method)


class SharedBench:
    """Runs cells on what they share."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def run(self, piece: Cell, listener: Listener) -> Record:
        """See `benchmark.study.study.Bench`."""
        return run_cell(piece, self._bench, listener)

    @property
    def intact(self) -> bool:
        """Whether every method so far left its inputs as they were."""
        return self._bench.intact


def run(
    experiments: Sequence[Experiment],
    store: Store,
    device: torch.device,
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    **options: Any,
) -> Tally:
    """Run every cell of `experiments` that `store` does not hold already.

    Args:
        experiments: see `Experiments`.
        store: see `benchmark.study.run.run`.
        device: likewise.
        methods: see `Experiments`.
        seeds: likewise.
        **options: of `benchmark.study.run.run`.

    Raises:
        LetheError: for anything wrong with the settings, the data or the disk. Nothing that was
            finished is lost.

    >>> from tempfile import TemporaryDirectory
    >>> from rich.console import Console
    >>> from benchmark.experiments.experiment import load
    >>> with TemporaryDirectory() as folder:
    ...     where = Store(Path(folder)), torch.device("cpu")
    ...     asked = {"methods": ["nothing"], "seeds": [0], "console": Console(quiet=True)}
    ...     first = run([load("digits-squared")], *where, **asked)
    ...     again = run([load("digits-squared")], *where, **asked)
    >>> first.ran, again.ran, again.kept
    (1, 0, 1)
    """
    study = Experiments(experiments=tuple(experiments), methods=given(methods), seeds=given(seeds))
    return run_study(study, store, device, **options)


def units_of(
    experiments: Sequence[Experiment],
    device: str,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Unit]:
    """The cells of every experiment and seed, in order; see `plan_cells`.

    Within a unit retraining comes first: its answer is the reference, see `Workbench`.

    Raises:
        LetheError: also for a method that is in none of them.
    """
    plans = [plan_cells(one, device, methods, seeds) for one in experiments]
    there = {cell.method.name for cells in plans for cell in cells}
    for name in methods or ():
        if name not in there:
            where = ", ".join(dict.fromkeys(one.name for one in experiments))
            its = sorted({row.method for one in experiments for row in rows_of(one)})
            lacking = _lacking(name, experiments)
            raise LetheError(f"no method '{name}' in {where}: {lacking}there is {', '.join(its)}")
    return [
        Unit(experiment.name, f"seed {seed}", sorted(cells, key=_after_retraining))
        for experiment, plan in zip(experiments, plans, strict=True)
        for seed, cells in groupby(plan, _seed)
    ]


def _lacking(name: str, experiments: Sequence[Experiment]) -> str:
    """Why a method takes part in none of the experiments; "" where it could in one."""
    found = registry.discover().get(name)
    reasons = [unfit(found.method, one.problem) for one in experiments] if found else [""]
    return f"{reasons[0]}; " if all(reasons) else ""


def left_out(experiments: Iterable[Experiment]) -> list[str]:
    """A line for each method that an experiment lists and that does not go with its problem."""
    return [
        f"{one.name} lists {name}, which does not go with its problem and takes no part: "
        + _lacking(name, [one]).removesuffix("; ")
        for one in experiments
        for name in one.methods or ()
        if name not in {row.method for row in rows_of(one)}
    ]


def cell_again(
    content: dict[str, Any], device: str, experiment: str = "", info: MethodInfo | None = None
) -> tuple[Cell, list[str]]:
    """The cell of recorded inputs, with the method's code as it is now, and remarks on that.

    Args:
        content: the inputs.
        device: where it will run.
        experiment: of the cell; "" if that is not known.
        info: likewise; by default what its method says of itself.

    Raises:
        LetheError: if the method is gone or the inputs do not fit this version.
    """
    inputs = Inputs.read(content, "the record's inputs do not fit this version")
    registered = registry.find(inputs.method)
    method = registered.method.build(inputs.params)
    now, remarks = source_hash(registered.method), []
    if now != inputs.method_source:
        remarks.append(f"the code of method '{inputs.method}' has changed since")
    cell = Cell(
        experiment=experiment,
        method=method,
        info=info or describe(method, registered, method.name, None),
        inputs=inputs.model_copy(update={"device": device, "method_source": now}),
    )
    return cell, remarks


def given(names: Sequence[Any] | None) -> tuple[Any, ...] | None:
    """What an option names, as a study holds it; None where it is left out."""
    return None if names is None else tuple(names)


def _seed(cell: Cell) -> int:
    return cell.inputs.seeds.split


def _after_retraining(cell: Cell) -> bool:
    return cell.inputs.method != RETRAIN

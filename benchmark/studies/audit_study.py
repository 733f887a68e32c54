"""The audit of every certified method on digits, row by row: what is there is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from benchmark import json_file, settings
from benchmark.contract.method import EvidenceKind
from benchmark.data.forget import ForgetSpec
from benchmark.ends import Exited, kept_alive
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.files import locked
from benchmark.problem.seal import InputsChanged
from benchmark.records import Failure
from benchmark.runner.cell import Cell, fingerprint
from benchmark.runner.environment import describe
from benchmark.runner.event import Event
from benchmark.runner.progress import Display
from benchmark.runner.run import plan_cells
from benchmark.runner.run_cell import describe_failure
from benchmark.runner.shard import WHOLE, Shard
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import (
    AuditStudy,
    Finding,
    Origin,
    Row,
    path_in,
    read,
    row_name,
)
from benchmark.studies.model_audit import CONFIDENCE, Runs, finding

#: Raise this when a change to shared code changes numbers: every row is then out of date.
RECIPE = 2


@dataclass(frozen=True)
class Part:
    """Rows of one experiment, audited on one request.

    Attributes:
        experiment: its name.
        runs: a side, by what a claim rests on.
        slow: the same of methods that take a tenth of a second or more to answer.
        forget: what is forgotten; as in the experiment if None.
        distance: Delta_0; that of the experiment if None.
        methods: those that are audited; all that certify if None.
        suffix: of the rows' titles.
    """

    experiment: str
    runs: dict[EvidenceKind, int]
    slow: dict[str, int] = field(default_factory=dict)
    forget: ForgetSpec | None = None
    distance: float | None = None
    methods: tuple[str, ...] | None = None
    suffix: str = ""

    def count(self, cell: Cell) -> int:
        """Runs a side of one of its rows."""
        return self.slow.get(cell.method.name, self.runs[cell.method.evidence])

    def cells(self) -> list[Cell]:
        """Its rows.

        Raises:
            LetheError: if there is no such experiment, or one of its rows is not valid.
        """
        experiment = experiments.load(self.experiment)
        changes = {"forget": self.forget or experiment.forget}
        if self.distance is not None:
            changes["target"] = experiment.target.model_copy(update={"distance": self.distance})
        cells = plan_cells(experiment.model_copy(update=changes), "cpu", self.methods, seeds=[0])
        return [self._titled(cell) for cell in cells if cell.method.evidence]

    def _titled(self, cell: Cell) -> Cell:
        info = cell.info.model_copy(update={"title": cell.info.title + self.suffix})
        return cell.model_copy(update={"info": info})


#: Every row of a head is audited on its hardest case: the rows whose removal moves the model most.
#: A Delta_0 of 1.1 times what the one hardest row does to the digits head is tight: Theorem 6
#: holds it at the original weights, which are published as they are.
PLAN = (
    Part(
        "digits-softmax",
        runs={"distance": 1000, "algorithm": 100, "construction": 64},
        slow={
            "descent-to-delete": 100,
            "langevin": 64,
            "newton-lissa": 100,
            "recollection": 100,
            "rewind": 100,
        },
        forget=ForgetSpec(scenario="influential", count=20),
    ),
    Part(
        "digits-softmax",
        runs={"distance": 20_000},
        forget=ForgetSpec(scenario="influential", count=1),
        distance=0.053,
        methods=("newton-chord", "newton-iterated"),
        suffix=", tight",
    ),
    Part("digits-mlp", runs={"distance": 100, "algorithm": 64, "construction": 32}),
)


def audit_study(results: Path, console: Console, shard: Shard = WHOLE) -> tuple[AuditStudy, int]:
    """The study in `results`: what is current is kept, what is missing or out of date is run.

    The file is written after each row, so that a stop loses one row at most. A row that is out of
    date stays until it is replaced. Shards may run at the same time: each adds its rows to what is
    there by then.

    Args:
        results: the results folder.
        console: for progress.
        shard: of the planned rows, the part to run.

    Returns:
        the study, and how many rows were run.

    Raises:
        LetheError: if two rows have one title, the data cannot be had or the file cannot be
            written. Nothing that was finished is lost.
    """
    work = [(part, part.cells()) for part in PLAN]
    names = _names(work)
    rows, ours = _rows_in(results), set(shard.of(names))
    missing = [
        (part, [c for c in cells if _name(c) in ours and not _is_current(c, part, rows)])
        for part, cells in work
    ]
    ran = sum(len(cells) for _, cells in missing)
    with Display(console, total=ran) as display:
        for part, cells in missing:
            for cell, row in _run(cells, part, display):
                _put(results, names, {_name(cell): row})
    return _put(results, names, {}), ran  # without the rows that are planned no more


@dataclass(frozen=True)
class _Ran:
    """What the progress display tells of a row."""

    seconds: float
    failure: Failure | None


def _run(cells: list[Cell], part: Part, display: Display) -> Iterator[tuple[Cell, Row]]:
    """Rows of one part as they finish; its data are only touched if there is one."""
    if not cells:
        return
    bench, runs = _given(cells[0])
    for cell in cells:
        count = part.count(cell)
        display.show(Event("begins", cell.where, f"{count} runs a side"))
        start, failure = time.perf_counter(), None
        try:
            with settings.kept(cell.method.name), kept_alive():
                outcome: Finding | str = finding(cell, runs, count)
            bench.check(cell.method.name)
            runs.check(cell.method.name)
        except (LetheError, Exited) as error:  # a method that gives no answer claims nothing
            outcome, failure = str(error), describe_failure(error)
            if isinstance(error, InputsChanged):
                bench, runs = _given(cells[0])
        seconds = time.perf_counter() - start
        origin = Origin(key=_key(cell, count), environment=describe(torch.device("cpu")))
        yield cell, Row(origin, outcome)
        display.show(Event("ran", cell.where, record=_Ran(seconds, failure)))


def _given(cell: Cell) -> tuple[Workbench, Runs]:
    """What the rows of a part are given."""
    bench = Workbench(cell.inputs, torch.device("cpu"), folder=None)
    return bench, Runs(bench.problem, bench.forget, cell.inputs.target)


def _rows_in(results: Path) -> dict[str, Row]:
    """The rows that are there, by name, current or not; a damaged file holds none."""
    try:
        study = read(results)
    except json_file.Sound:
        raise
    except LetheError:
        return {}
    if study is None:
        return {}
    return {
        name: Row(study.origins[name], outcome)
        for name, outcome in study.outcomes.items()
        if name in study.origins
    }


def _put(results: Path, names: list[str], new: dict[str, Row]) -> AuditStudy:
    """The study with rows that are new, on disk; `names` are those that are planned."""
    path = path_in(results)
    with locked(path.with_name(f".{path.name}.lock")):
        study = _study(_rows_in(results) | new, names)
        json_file.write(path, study)
    return study


def _study(rows: dict[str, Row], names: list[str]) -> AuditStudy:
    """Of the rows that are planned, in the plan's order."""
    return AuditStudy.of({name: rows[name] for name in names if name in rows})


def _is_current(cell: Cell, part: Part, rows: dict[str, Row]) -> bool:
    row = rows.get(_name(cell))
    return row is not None and row.origin.key == _key(cell, part.count(cell))


def row_keys() -> dict[str, str]:
    """Key of every planned row, by name: the sha256 of everything that determines its numbers."""
    return {_name(cell): _key(cell, part.count(cell)) for part in PLAN for cell in part.cells()}


def _key(cell: Cell, count: int) -> str:
    """sha256 of everything that determines a row's numbers."""
    content = {"recipe": RECIPE, "cell": cell.inputs.key, "runs": count, "confidence": CONFIDENCE}
    return fingerprint(content)


def _name(cell: Cell) -> str:
    return row_name(cell.experiment, cell.info.title)


def _names(work: list[tuple[Part, list[Cell]]]) -> list[str]:
    """What the study calls the planned rows, in order.

    Raises:
        LetheError: if two rows of an experiment have one title, by which the study knows them.
    """
    cells = [cell for _, cells in work for cell in cells]
    names = [_name(cell) for cell in cells]
    for cell, name in zip(cells, names, strict=True):
        if names.count(name) > 1:
            raise LetheError(
                f"experiment {cell.experiment}: two rows have the title '{cell.info.title}': "
                "change one"
            )
    return names

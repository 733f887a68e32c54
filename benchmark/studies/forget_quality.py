"""Is it really forgotten? Many runs of every method, attacked and compared with retraining."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from benchmark import ends, json_file
from benchmark.contract.method import Method
from benchmark.contract.request import Request
from benchmark.errors import LetheError
from benchmark.experiments.experiment import Experiment
from benchmark.metrics import attack_registry
from benchmark.metrics.attack_contract import Attack, RowAttack
from benchmark.metrics.relearn import RelearnTime
from benchmark.metrics.statistics import LEVEL
from benchmark.problem.predictor import Predictor
from benchmark.records import Store
from benchmark.runner.begin import begin
from benchmark.runner.cell import Cell, fingerprint
from benchmark.runner.environment import describe
from benchmark.runner.event import Event
from benchmark.runner.progress import Display
from benchmark.runner.run import plan_of, units_of
from benchmark.runner.run_cell import attempt
from benchmark.runner.shard import WHOLE, Shard
from benchmark.runner.tuning import tune
from benchmark.runner.workbench import ATTACKING, Workbench
from benchmark.shadow import store as models_on_disk
from benchmark.shadow.bank import shadow_bank
from benchmark.shadow.replicas import Answer, compared_with, trained, unlearned
from benchmark.studies import relearning
from benchmark.studies.quality_measures import Measured, Models, Setting, measure
from benchmark.studies.quality_record import (
    SCHEMA,
    SHARES,
    Distribution,
    QualityRecord,
    Score,
    path_in,
    read,
    verdict,
)

#: Raise this when a change to shared code changes numbers: every record is then out of date.
RECIPE = 1
#: What is run unless experiments are named.
EXPERIMENTS = ("digits-softmax", "digits-mlp")
#: Models a side; fewer leave too little to fit an attack on.
FEWEST = 8

#: Retraining is what the library trains many at a time, under roles of their own. The second
#: retraining is the floor itself.
_RETRAININGS = {"retrain": "unlearned", "retrain-other-seed": "floor"}


@dataclass
class Tally:
    """How many rows were found, run and lost."""

    kept: int = 0
    ran: int = 0
    failed: list[QualityRecord] = field(default_factory=list)


def forget_quality(
    experiments: list[Experiment],
    results: Path,
    device: torch.device,
    *,
    runs: int,
    shadows: int,
    methods: list[str] | None = None,
    seeds: list[int] | None = None,
    shard: Shard = WHOLE,
    console: Console | None = None,
) -> Tally:
    """Make every record of `experiments` that `results` does not hold already.

    Args:
        experiments: each of their rows and seeds gets a record.
        results: where records go, one after each row, so that a stop loses one row at most;
            trained models are kept in its `.artifacts`.
        device: where to compute.
        runs: models a side: of the row, the reference, the floor and the ceiling.
        shadows: models that an attack may use as references, an even number; no more are trained
            than one asks for.
        methods: only these; by default those of the experiments.
        seeds: only these; likewise.
        shard: of the experiments' seeds, the part to run.
        console: for progress.

    Raises:
        LetheError: for anything wrong with the settings, the data or the disk. Nothing that was
            finished is lost.
    """
    if runs < FEWEST:
        raise LetheError(f"forget quality needs {FEWEST} runs or more, not {runs}")
    if shadows < 2 or shadows % 2:
        raise LetheError(f"shadows come in pairs: an even number from 2, not {shadows}")
    console = console or Console(stderr=True)
    attacks = tuple(attack() for attack in attack_registry.discover().values())
    units = shard.of(units_of(experiments, device.type, methods, seeds))
    begin(experiments, [plan_of(one) for one in experiments], Store(results))
    tally = Tally()
    with Display(console, total=sum(len(unit.cells) for unit in units)) as display:
        for unit in units:
            study = Study(unit.cells, results, device, attacks, runs, shadows)
            _run_seed(study, results, display, tally)
    return tally


class Study:
    """One experiment and seed: what its rows share, and the record of each.

    Data and models are only touched if a row has to run.

    Args:
        cells: the rows.
        results: the results folder.
        device: where to compute.
        attacks: to run.
        runs: models a side.
        shadows: models that an attack may use.
    """

    def __init__(
        self,
        cells: list[Cell],
        results: Path,
        device: torch.device,
        attacks: tuple[Attack, ...],
        runs: int,
        shadows: int,
    ) -> None:
        self._arguments = (cells, results, device, attacks, runs, shadows)
        self.cells, self.runs = cells, runs
        self._inputs = cells[0].inputs
        self._device, self._folder = device, results / ".artifacts"
        self._attacks = attacks
        self._shadows = _wanted(attacks, shadows, self._inputs.forget.scenario)

    def anew(self) -> Study:
        """The same, with nothing computed yet."""
        return Study(*self._arguments)

    def inputs(self, cell: Cell) -> dict[str, Any]:
        """Everything that determines a row's numbers."""
        return {
            "schema": SCHEMA,
            "recipe": RECIPE,
            "training_recipe": models_on_disk.RECIPE,
            "relearning": [relearning.LEARNING_RATE, relearning.BATCH, relearning.LIMIT],
            "cell": cell.inputs.model_dump(mode="json"),
            "runs": self.runs,
            "shadows": self._shadows,
            "attacks": {attack.name: _attack_inputs(attack) for attack in self._attacks},
        }

    def record(self, cell: Cell) -> QualityRecord:
        """Run a row. An error becomes a record with status `failed`.

        Raises:
            DiskError: if a model cannot be stored; that is no fault of the method.
            LetheError: if the data cannot be had.
        """
        bench = self.bench  # what is wrong with the data is no row's failure
        start = time.perf_counter()
        outcome = attempt(
            lambda: _content(*self._measured(cell), self._attacks), cell.method.name, bench
        )
        inputs = self.inputs(cell)
        return QualityRecord(
            key=fingerprint(inputs),
            experiment=cell.experiment,
            method=cell.info,
            seeds=cell.inputs.seeds,
            runs=self.runs,
            inputs=inputs,
            seconds=time.perf_counter() - start,
            environment=describe(bench.problem.device),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            **outcome,
        )

    @cached_property
    def bench(self) -> Workbench:
        """Problem and request."""
        return Workbench(self._inputs, self._device, self._folder)

    @cached_property
    def store(self) -> models_on_disk.ModelStore:
        """The models of the problem."""
        return models_on_disk.ModelStore(self.bench.problem, self._folder)

    @cached_property
    def setting(self) -> Setting:
        """What all models are asked."""
        shadows = None
        if self._shadows:
            shadows = shadow_bank(self.store, self._shadows, self._inputs.seeds)
        return Setting(
            problem=self.bench.problem,
            forget=self.bench.forget,
            true_labels=self.bench.true_labels,
            seeds=self._inputs.seeds,
            attacks=self._attacks,
            shadows=shadows,
        )

    @cached_property
    def shared(self) -> Yardsticks:
        """For all rows that unlearn the problem's own models and add no noise."""
        return Yardsticks(
            lambda: self._trained(self.bench.retain, "reference"),
            lambda: self._trained(self.bench.retain, "floor"),
            lambda: self._trained(self.bench.rows, "unlearned"),
        )

    def _own(self, cell: Cell, method: Method, answers: list[Answer]) -> Yardsticks:
        """For a row with noise or a training of its own: what it is compared with has them too."""

        def models(rows: Tensor, role: str) -> Models:
            seeds, target = cell.inputs.seeds, cell.inputs.target
            found = compared_with(self.store, method, answers, rows, seeds, role, target=target)
            return Models(self.setting, found)

        return Yardsticks(
            lambda: models(self.bench.retain, "reference"),
            lambda: models(self.bench.retain, "floor"),
            lambda: models(self.bench.rows, "unlearned"),
        )

    def method(self, cell: Cell) -> Method:
        """The method, tuned as the row of the board is where the experiment tunes."""
        if cell.inputs.tuning is None:
            return cell.method
        bench, inputs = self.bench, cell.inputs
        first = Request.of(
            bench.problem,
            bench.original[0],
            bench.requests[0],
            target=inputs.target,
            seeds=inputs.seeds,
        )
        tuned, _ = tune(cell.method, inputs.tuning, first)
        return cell.method.model_copy(update=tuned.params)

    def _measured(self, cell: Cell) -> tuple[Measured, Yardsticks]:
        method = self.method(cell)
        role = _RETRAININGS.get(method.name)
        if role == "floor":
            return self.shared.floor, self.shared
        if role is not None:
            return self.shared.measure(self._trained(self.bench.retain, role)), self.shared
        answers = unlearned(
            self.store,
            method,
            self.bench.requests,
            cell.inputs.seeds,
            self.runs,
            target=cell.inputs.target,
        )
        alike = not method.has_own_training() and all(answer.sigma == 0 for answer in answers)
        yardsticks = self.shared if alike else self._own(cell, method, answers)
        return yardsticks.measure(Models(self.setting, [a.predictor for a in answers])), yardsticks

    def _trained(self, rows: Tensor, role: str) -> Models:
        weights = trained(self.store, rows, self._inputs.seeds, role, self.runs)
        return Models(self.setting, [Predictor(self.bench.problem.model, w) for w in weights])


class Yardsticks:
    """What rows are measured against, trained when it is first asked for.

    Args:
        reference: gives retrained models that everything is compared with.
        again: gives other retrained models; their distance to the reference is the floor.
        originals: gives models that saw every row: the ceiling.
    """

    def __init__(
        self,
        reference: Callable[[], Models],
        again: Callable[[], Models],
        originals: Callable[[], Models],
    ) -> None:
        self._reference, self._again, self._originals = reference, again, originals

    @cached_property
    def reference(self) -> Models:
        return self._reference()

    @cached_property
    def originals(self) -> Models:
        return self._originals()

    @cached_property
    def target(self) -> float:
        """The loss at which the forgotten rows count as learnt: that of the originals."""
        return self.originals.loss()

    @cached_property
    def relearnt(self) -> RelearnTime:
        """How long the reference takes to learn the forgotten rows."""
        return self.reference.relearnt(self.target)

    @cached_property
    def floor(self) -> Measured:
        """Retrain against retrain."""
        return self.measure(self._again())

    @cached_property
    def ceiling(self) -> Measured:
        """What doing nothing gives."""
        return self.measure(self.originals)

    def measure(self, models: Models) -> Measured:
        """Every metric of `models`."""
        return measure(models, self.reference, self.target, self.relearnt)


def _run_seed(study: Study, results: Path, display: Display, tally: Tally) -> None:
    for cell in study.cells:
        path = path_in(results, cell.experiment, cell.info.label, cell.inputs.seeds.split)
        record = json_file.current(partial(read, path), fingerprint(study.inputs(cell)))
        if record is not None:
            tally.kept += 1
            display.show(Event("kept", cell.where, record=record))
        else:
            ends.check()
            display.show(Event("begins", cell.where, "forget quality"))
            record = study.record(cell)
            if record.status == "failed" and not study.bench.intact:
                study = study.anew()  # what the method left of it is not given to the next
            json_file.write(path, record)
            tally.ran += 1
            display.show(Event("ran", cell.where, record=record))
        if record.status == "failed":
            tally.failed.append(record)


def _wanted(attacks: tuple[Attack, ...], shadows: int, scenario: str) -> int:
    """How many shadow models to train: what the hungriest attack asks for, if it may.

    Where shadow models chose the forgotten rows, those that attack are the ones that did not.
    """
    asked = max((a.references for a in attacks if isinstance(a, RowAttack)), default=0)
    allowed = min(shadows, ATTACKING) if scenario == "memorised" else shadows
    return min(asked + asked % 2, allowed)


def _attack_inputs(attack: Attack) -> dict[str, Any]:
    source = Path(inspect.getfile(type(attack))).read_bytes()
    return {
        "source": hashlib.sha256(source).hexdigest(),
        "params": attack.model_dump(mode="json"),
    }


def _content(
    found: Measured, yardsticks: Yardsticks, attacks: tuple[Attack, ...]
) -> dict[str, Any]:
    """The parts of a record that only a row that succeeded has."""
    floor, ceiling = yardsticks.floor, yardsticks.ceiling
    titles = {attack.name: attack.title for attack in attacks}
    p_values = found.measures["p_value"].value, ceiling.measures["p_value"].value
    return {
        "verdict": verdict(*(p <= 1 - LEVEL for p in p_values)),
        "scores": {
            name: Score(
                value=ours.value,
                floor=_value(floor, name),
                ceiling=_value(ceiling, name),
                direction=ours.direction,
                unit=ours.unit,
                interval=ours.interval,
                n=ours.n,
                censored=name in found.censored,
                note=ours.note,
            )
            for name, ours in found.measures.items()
        },
        "distributions": {
            name: Distribution(
                title=titles[name],
                unlearned=_quantiles(unlearned_scores),
                retrained=_quantiles(retrained_scores),
            )
            for name, (unlearned_scores, retrained_scores) in found.scores.items()
        },
    }


def _value(measured: Measured, name: str) -> float | None:
    """None also where a rate was not computed, for want of the attack's scores."""
    found = measured.measures.get(name)
    return None if found is None else found.value


def _quantiles(scores: np.ndarray) -> tuple[float, ...]:
    """At `SHARES`, to six digits: they are for a plot."""
    return tuple(float(f"{value:.6g}") for value in np.quantile(scores, SHARES))

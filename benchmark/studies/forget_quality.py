"""Is it really forgotten? Many runs of every method, attacked and compared with retraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmark.code import hash_beside
from benchmark.contract.method import Method, Source
from benchmark.errors import LetheError, present
from benchmark.experiments.experiment import Distinct
from benchmark.metrics import attacks as membership
from benchmark.metrics.attacks import Attack, RowAttack
from benchmark.metrics.scores import RelearnTime
from benchmark.metrics.statistics import LEVEL
from benchmark.problem.model import Predictor
from benchmark.records import Store, fingerprint
from benchmark.runner.cell import Cell, tune
from benchmark.runner.plans import plan_of
from benchmark.runner.run_cell import recorded
from benchmark.runner.workbench import ATTACKING, Workbench
from benchmark.shadow import store as models_on_disk
from benchmark.shadow.replicas import Answer, Edit, compared_with, trained, unlearned
from benchmark.shadow.store import shadow_bank
from benchmark.studies import quality_measures
from benchmark.studies.experiments import begin, cell_again, units_of
from benchmark.studies.quality_measures import Measured, Models, Setting, measure
from benchmark.studies.quality_record import (
    SCHEMA,
    SHARES,
    Distribution,
    QualityRecord,
    Score,
    group_of,
    path_of,
    verdict,
)
from benchmark.study.study import Listener, Study, Unit

#: Raise this when a change to shared code changes numbers: every record is then out of date.
RECIPE = 1
#: What is run unless experiments are named.
EXPERIMENTS = ("digits-softmax", "digits-mlp")
#: Models a side; fewer leave too little to fit an attack on.
FEWEST = 8

#: Retraining is what the library trains many at a time, under roles of their own. The second
#: retraining is the floor itself.
_RETRAININGS = {"retrain": "unlearned", "retrain-other-seed": "floor"}


@dataclass(frozen=True)
class Row:
    """One row and seed, to be run many times and attacked.

    Attributes:
        cell: the row of the experiment.
        runs: models a side.
        shadows: models that its attacks use.
        attacks: to run.
    """

    cell: Cell
    runs: int
    shadows: int
    attacks: tuple[Attack, ...]

    @property
    def where(self) -> str:
        """The row in words."""
        return self.cell.where

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return path_of(self.cell.experiment, self.cell.info.label, self.cell.inputs.seeds.split)

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines the row's numbers."""
        return {
            "schema": SCHEMA,
            "recipe": RECIPE,
            "training_recipe": models_on_disk.RECIPE,
            "relearning": [
                quality_measures.LEARNING_RATE,
                quality_measures.BATCH,
                quality_measures.LIMIT,
            ],
            "cell": self.cell.inputs.model_dump(mode="json"),
            "runs": self.runs,
            "shadows": self.shadows,
            "attacks": {attack.name: _attack_inputs(attack) for attack in self.attacks},
        }


class ForgetQuality(Study[Row, QualityRecord]):
    """Rows of some experiments; those of one seed share data and trained models.

    Attributes:
        experiments: each of their rows and seeds gets a record.
        runs: models a side: of the row, the reference, the floor and the ceiling.
        shadows: models that an attack may use as references, an even number; no more are trained
            than one asks for.
        methods: only these; by default those of the experiments.
        seeds: only these; likewise.
    """

    name: ClassVar[str] = "forget-quality"
    title: ClassVar[str] = "Forget quality"
    source: ClassVar[Source] = Source(
        paper="Hayes, Shumailov, Triantafillou, Khalifa, Papernot: Inexact Unlearning Needs More "
        "Careful Evaluations to Avoid a False Sense of Privacy, 2024",
        url="https://arxiv.org/abs/2403.01218",
    )
    record: ClassVar[type[QualityRecord]] = QualityRecord

    experiments: Distinct
    runs: int = 10
    shadows: int = 64
    methods: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None

    def units(self, device: str) -> list[Unit[Row]]:
        """The rows of every experiment and seed, in order."""
        if self.runs < FEWEST:
            raise LetheError(f"forget quality needs {FEWEST} runs or more, not {self.runs}")
        if self.shadows < 2 or self.shadows % 2:
            raise LetheError(f"--shadows must be an even number from 2, not {self.shadows}")
        for one in self.experiments:
            if one.problem.real_target:
                raise LetheError(
                    f"forget quality compares probabilities of classes, and {one.name} predicts a "
                    "number: take an experiment of classes; lethe run attacks it by its residuals"
                )
        attacks = tuple(attack() for attack in membership.discover().values())
        units = units_of(self.experiments, device, self.methods, self.seeds)
        return [
            Unit(group_of(unit.group), unit.part, [self._row(c, attacks) for c in unit.pieces])
            for unit in units
        ]

    def _row(self, cell: Cell, attacks: tuple[Attack, ...]) -> Row:
        shadows = _wanted(attacks, self.shadows, cell.inputs.forget.scenario)
        return Row(cell, self.runs, shadows, attacks)

    def begin(self, store: Store, units: list[Unit[Row]]) -> None:
        """Get the data and write the plans."""
        begin(self.experiments, [plan_of(one) for one in self.experiments], store)

    @classmethod
    def open(cls, pieces: Sequence[Row], device: torch.device, folder: Path | None) -> SharedModels:
        """Models of one seed, trained when they are first asked for."""
        return SharedModels(pieces[0], device, folder)

    @classmethod
    def again(cls, record: QualityRecord, device: str) -> tuple[Row, list[str]]:
        """The row of a record, with the attacks as they are now."""
        cell, remarks = cell_again(record.inputs["cell"], device, record.experiment, record.method)
        found = membership.discover()
        attacks = tuple(found[name]() for name in record.inputs["attacks"] if name in found)
        row = Row(cell, record.runs, record.inputs["shadows"], attacks)
        for name, inputs in record.inputs["attacks"].items():
            if row.inputs["attacks"].get(name) != inputs:
                remarks.append(f"attack '{name}' has changed since, or is gone")
        return row, remarks


class SharedModels:
    """What the rows of one experiment and seed share, and the record of each.

    Args:
        row: any of them.
        device: where to compute.
        folder: for trained models; None keeps nothing.
    """

    def __init__(self, row: Row, device: torch.device, folder: Path | None) -> None:
        self._inputs, self._row = row.cell.inputs, row
        self._device, self._folder = device, folder

    @property
    def intact(self) -> bool:
        """Whether every method so far left its inputs as they were."""
        return self.bench.intact

    def run(self, row: Row, listener: Listener) -> QualityRecord:
        """Run a row. An error becomes a record with status `failed`.

        Raises:
            DiskError: if a model cannot be stored; that is no fault of the method.
            LetheError: if the data cannot be had.
        """
        listener("forget quality")
        cell, bench = row.cell, self.bench  # what is wrong with the data is no row's failure
        return recorded(
            QualityRecord,
            row.inputs,
            lambda: _content(*self._measured(cell), row.attacks),
            cell.method.name,
            bench,
            self._device,
            experiment=cell.experiment,
            method=cell.info,
            seeds=cell.inputs.seeds,
            runs=row.runs,
        )

    @cached_property
    def bench(self) -> Workbench:
        """Problem and request.

        Raises:
            LetheError: also if the requests lose no row, so that there is none to attack.
        """
        bench = Workbench(self._inputs, self._device, self._folder)
        if len(bench.forget) == 0 or self._inputs.forget.corrects:
            raise LetheError(
                "this study attacks rows that are lost, and these requests lose none: take one "
                "that names nodes, such as cora-sgc-inductive"
            )
        return bench

    @cached_property
    def stores(self) -> tuple[models_on_disk.ModelStore, ...]:
        """The models of the problem before all requests, after the first, ...; mostly one store."""
        stores: dict[int, models_on_disk.ModelStore] = {}
        for problem in self.bench.problems:
            if id(problem) not in stores:
                stores[id(problem)] = models_on_disk.ModelStore(problem, self._folder)
        return tuple(stores[id(problem)] for problem in self.bench.problems)

    @property
    def store(self) -> models_on_disk.ModelStore:
        """The models of the problem."""
        return self.stores[0]

    @cached_property
    def requests(self) -> tuple[Tensor | Edit, ...]:
        """What is asked for, in turn: rows, or edits of a graph."""
        bench, stores = self.bench, self.stores
        if bench.stream is None:
            return bench.requests
        each = zip(bench.requests, bench.altered, stores, stores[1:], strict=False)
        return tuple(Edit(*parts) for parts in each)

    @cached_property
    def setting(self) -> Setting:
        """What all models are asked."""
        shadows = None
        if self._row.shadows:
            shadows = shadow_bank(self.store, self._row.shadows, self._inputs.seeds)
        return Setting(
            problem=replace(self.bench.problem, test=self.bench.after.test),
            forget=self.bench.forget,
            true_labels=self.bench.true_labels,
            seeds=self._inputs.seeds,
            attacks=self._row.attacks,
            shadows=shadows,
        )

    @cached_property
    def shared(self) -> Yardsticks:
        """For all rows that unlearn the problem's own models and add no noise."""
        return Yardsticks(
            lambda: self._retrained("reference"),
            lambda: self._retrained("floor"),
            lambda: self._trained(self.store, self.bench.rows, "unlearned"),
        )

    def _own(self, cell: Cell, method: Method, answers: list[Answer]) -> Yardsticks:
        """For a row with noise or a training of its own: what it is compared with has them too."""

        def models(store: models_on_disk.ModelStore, rows: Tensor, role: str) -> Models:
            seeds, target = cell.inputs.seeds, cell.inputs.target
            found = compared_with(store, method, answers, rows, seeds, role, target=target)
            return Models(self.setting, found)

        return Yardsticks(
            lambda: models(self.stores[-1], self.bench.retain, "reference"),
            lambda: models(self.stores[-1], self.bench.retain, "floor"),
            lambda: models(self.store, self.bench.rows, "unlearned"),
        )

    def method(self, cell: Cell) -> Method:
        """The method, tuned as the row of the board is where the experiment tunes."""
        if cell.inputs.tuning is None:
            return cell.method
        bench, inputs = self.bench, cell.inputs
        first = bench.request(0, bench.original[0], target=inputs.target, seeds=inputs.seeds)
        tuned, _ = tune(cell.method, present(inputs.tuning), first)
        return cell.method.model_copy(update=tuned.params)

    def _measured(self, cell: Cell) -> tuple[Measured, Yardsticks]:
        method = self.method(cell)
        role = _RETRAININGS.get(method.name)
        if role == "floor":
            return self.shared.floor, self.shared
        if role is not None:
            return self.shared.measure(self._retrained(role)), self.shared
        answers = unlearned(
            self.store,
            method,
            self.requests,
            cell.inputs.seeds,
            self._row.runs,
            target=cell.inputs.target,
        )
        alike = not method.has_own_training() and all(answer.sigma == 0 for answer in answers)
        yardsticks = self.shared if alike else self._own(cell, method, answers)
        return yardsticks.measure(Models(self.setting, [a.predictor for a in answers])), yardsticks

    def _retrained(self, role: str) -> Models:
        return self._trained(self.stores[-1], self.bench.retain, role)

    def _trained(self, store: models_on_disk.ModelStore, rows: Tensor, role: str) -> Models:
        weights = trained(store, rows, self._inputs.seeds, role, self._row.runs)
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


def _wanted(attacks: tuple[Attack, ...], shadows: int, scenario: str) -> int:
    """How many shadow models to train: what the hungriest attack asks for, if it may.

    Where shadow models chose the forgotten rows, those that attack are the ones that did not.
    """
    asked = max((a.references for a in attacks if isinstance(a, RowAttack)), default=0)
    allowed = min(shadows, ATTACKING) if scenario == "memorised" else shadows
    return min(asked + asked % 2, allowed)


def _attack_inputs(attack: Attack) -> dict[str, Any]:
    return {
        "source": hash_beside(type(attack).__module__),
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
        "verdict": verdict(*(present(p) <= 1 - LEVEL for p in p_values)),
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

"""Bound over measured distance, with one setting of an experiment varied at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmark import registry
from benchmark.contract.claim import Distance
from benchmark.contract.clock import Clock
from benchmark.contract.method import Source
from benchmark.contract.request import Request
from benchmark.errors import present
from benchmark.experiments import experiment as experiments
from benchmark.records import fingerprint
from benchmark.runner.cell import Cell
from benchmark.runner.run_cell import recorded
from benchmark.runner.workbench import Workbench
from benchmark.studies.experiments import cell_again
from benchmark.studies.slack_record import SCHEMA, SlackRecord, path_of
from benchmark.study.study import Listener, Study, Unit

#: The paper's single step, whatever it leaves: the noise is fitted to the least bound on that.
METHOD, NOISE = "newton", {"rows.newton.params.noise": "measured"}
SEEDS = (0, 1, 2)
#: A net in an active ball is trained this long only, as no gradient tolerance is met there: its
#: bounds hold for any training within the ball, of which this gradient is assumed.
IN_BALL = {
    "problem.training.epochs": 10,
    "problem.training.gradient_tolerance": None,
    "rows.newton.params.retrain_gradient": 0.1,
}


@dataclass(frozen=True)
class Sweep:
    """One setting of an experiment and the values it takes.

    Attributes:
        experiment: its name.
        words: the setting, for people.
        setting: its path in the experiment's file.
        values: that it takes.
        usual: the experiment's own value, None if the method chooses it.
        changes: to other settings, by their paths, at every value.
    """

    experiment: str
    words: str
    setting: str
    values: tuple[float, ...]
    usual: float | None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Its name in paths."""
        return f"{Path(self.experiment).stem}-{self.words}".lower().replace(" ", "-")


SWEEPS = (
    Sweep(
        "digits-softmax",
        "forgotten rows",
        "forget.count",
        (1, 2, 5, 10, 20, 50, 100, 200, 400),
        20,
    ),
    Sweep(
        "digits-softmax", "ridge", "problem.objective.ridge", (1e-4, 1e-3, 1e-2, 1e-1, 1.0), 1e-2
    ),
    Sweep(
        "digits-softmax",
        "damping",
        "rows.newton.params.damping",
        (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1),
        None,
    ),
    Sweep(
        "digits-softmax",
        "solver tolerance",
        "rows.newton.params.tolerance",
        (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5),
        1e-4,
    ),
    Sweep(
        "digits-mlp",
        "norm bound C",
        "problem.training.radius",
        (2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
        20,
        IN_BALL,
    ),
)


@dataclass(frozen=True)
class Point:
    """One value of a sweep with one seed.

    Attributes:
        sweep: that it is of.
        experiment: the title of the experiment that is varied.
        value: of the setting.
        cell: that answers.
    """

    sweep: str
    experiment: str
    setting: str
    usual: float | None
    value: float
    cell: Cell

    @property
    def where(self) -> str:
        """The point in words."""
        seed = self.cell.inputs.seeds.split
        return f"{self.experiment} · {self.setting} {self.value:g} · seed {seed}"

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return path_of(self.sweep, self.value, self.cell.inputs.seeds.split)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines its numbers, and what it is shown by."""
        return {"schema": SCHEMA, **self.shown, "cell": self.cell.inputs.model_dump(mode="json")}

    @property
    def shown(self) -> dict[str, Any]:
        """Its place in the study."""
        names = ("sweep", "experiment", "setting", "usual", "value")
        return {name: getattr(self, name) for name in names}

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class Slack(Study[Point, SlackRecord]):
    """Every sweep with every seed."""

    name: ClassVar[str] = "slack"
    title: ClassVar[str] = "How slack the bounds are"
    source: ClassVar[Source] = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks, 2024",
        url="https://arxiv.org/abs/2408.00920",
    )
    record: ClassVar[type[SlackRecord]] = SlackRecord

    def units(self, device: str) -> list[Unit[Point]]:
        """A unit for each sweep and seed."""
        return [
            Unit("slack", f"{sweep.slug}, seed {seed}", points_of(sweep, seed, device))
            for sweep in SWEEPS
            for seed in SEEDS
        ]

    @classmethod
    def open(cls, pieces: Sequence[Point], device: torch.device, folder: Path | None) -> Answers:
        """What points share that are of one problem and request."""
        return Answers(device, folder)

    @classmethod
    def again(cls, record: SlackRecord, device: str) -> tuple[Point, list[str]]:
        """The point of a record."""
        cell, remarks = cell_again(record.inputs["cell"], device)
        shown = (record.sweep, record.experiment, record.setting, record.usual, record.value)
        return Point(*shown, cell), remarks


class Answers:
    """Answers requests and measures. Points of the same problem and request share models."""

    def __init__(self, device: torch.device, folder: Path | None) -> None:
        self._device, self._folder = device, folder
        self._benches: dict[str, Workbench] = {}

    @property
    def intact(self) -> bool:
        """Whether every method so far left its inputs as they were."""
        return all(bench.intact for bench in self._benches.values())

    def run(self, piece: Point, listener: Listener) -> SlackRecord:
        """See `benchmark.study.study.Bench`."""
        listener("measuring")
        cell, bench = piece.cell, self._bench(piece.cell)
        work = partial(_measured, cell, bench)
        seed = cell.inputs.seeds.split
        name, device = cell.method.name, self._device
        known = {"seed": seed, **piece.shown}
        return recorded(SlackRecord, piece.inputs, work, name, bench, device, **known)

    def _bench(self, cell: Cell) -> Workbench:
        inputs = cell.inputs
        content = inputs.model_dump(mode="json", include={"problem", "forget", "seeds"})
        shared = fingerprint(content)
        if shared not in self._benches:
            self._benches[shared] = Workbench(inputs, self._device, self._folder)
        return self._benches[shared]


def points_of(sweep: Sweep, seed: int, device: str) -> list[Point]:
    """The points of a sweep with one seed."""
    registered, points = registry.find(METHOD), []
    for value in sweep.values:
        changes = NOISE | sweep.changes | {sweep.setting: value}
        experiment = experiments.load(sweep.experiment, changes=changes)
        (row,) = (row for row in experiment.rows if row.label == METHOD)
        cell = Cell.of(experiment, row, registered, seed, device)
        shown = (sweep.slug, experiment.title, sweep.words, sweep.usual, value)
        points.append(Point(*shown, cell))
    return points


def _measured(cell: Cell, bench: Workbench) -> dict[str, Any]:
    """The answer's distance to the retrained weights, and the bounds on it."""
    inputs = cell.inputs
    original, _ = bench.original
    reference, _ = bench.reference
    prepared = cell.method.prepare(bench.problem, original, inputs.seeds, Clock())
    request = Request.of(
        bench.problem, prepared, bench.forget, target=inputs.target, seeds=inputs.seeds
    )
    release = cell.method.answer(request)
    distance = float((release.state.weights.double() - reference.double()).norm())
    return {"distance": distance, "bounds": _bounds(present(release.claim).distance)}


def _bounds(evidence: Distance) -> dict[str, float]:
    """The least proved bound, which the noise is for, then every one that was evaluated."""
    evaluated = {evidence.theorem: evidence.reached}
    evaluated |= {other.theorem: other.value for other in evidence.alternatives}
    return {"proved": evidence.bound, **dict(sorted(evaluated.items()))}

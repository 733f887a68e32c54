"""Bound over measured distance, with one setting of an experiment varied at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from benchmark import json_file, registry
from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.request import Request
from benchmark.experiments import experiment as experiments
from benchmark.experiments.experiment import Experiment, Row
from benchmark.runner.cell import Cell, fingerprint
from benchmark.runner.environment import describe
from benchmark.runner.workbench import Workbench
from benchmark.studies.slack_record import SCHEMA, Panel, Point, Series, SlackStudy, path_in, read

#: The paper's single step, whatever it leaves: the noise is fitted to the least bound on that.
METHOD, PARAMS = "newton", {"noise": "measured"}
SEEDS = (0, 1, 2)
#: The net is trained this long only: its bounds hold for any training within the ball.
EPOCHS = 10
#: G, which is assumed of that training.
GRADIENT = 0.1

Change = Callable[[Experiment, Row, float], tuple[Experiment, Row]]


@dataclass(frozen=True)
class Sweep:
    """One setting and the values it takes.

    Attributes:
        experiment: the name of the experiment that is varied.
        change: gives the experiment and the method's row with the setting at a value.
        usual: the experiment's own value, None if the method chooses it.
    """

    experiment: str
    setting: str
    values: tuple[float, ...]
    usual: float | None
    change: Change


def _forgotten(experiment: Experiment, row: Row, value: float) -> tuple[Experiment, Row]:
    forget = experiment.forget.model_copy(update={"count": int(value)})
    return experiment.model_copy(update={"forget": forget}), row


def _ridge(experiment: Experiment, row: Row, value: float) -> tuple[Experiment, Row]:
    objective = experiment.problem.objective.model_copy(update={"ridge": value})
    return _with_problem(experiment, objective=objective), row


def _radius(experiment: Experiment, row: Row, value: float) -> tuple[Experiment, Row]:
    # where the ball is active no gradient tolerance is met
    changes = {"radius": value, "epochs": EPOCHS, "gradient_tolerance": None}
    training = experiment.problem.training.model_copy(update=changes)
    assumed = row.model_copy(update={"params": {**row.params, "retrain_gradient": GRADIENT}})
    return _with_problem(experiment, training=training), assumed


def _parameter(name: str) -> Change:
    def change(experiment: Experiment, row: Row, value: float) -> tuple[Experiment, Row]:
        return experiment, row.model_copy(update={"params": {**row.params, name: value}})

    return change


def _with_problem(experiment: Experiment, **changes: object) -> Experiment:
    problem = experiment.problem.model_copy(update=changes)
    return experiment.model_copy(update={"problem": problem})


SWEEPS = (
    Sweep(
        "digits-softmax",
        "forgotten rows",
        (1, 2, 5, 10, 20, 50, 100, 200, 400),
        20,
        _forgotten,
    ),
    Sweep("digits-softmax", "ridge", (1e-4, 1e-3, 1e-2, 1e-1, 1), 1e-2, _ridge),
    Sweep(
        "digits-softmax",
        "damping",
        (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1),
        None,
        _parameter("damping"),
    ),
    Sweep(
        "digits-softmax",
        "solver tolerance",
        (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5),
        1e-4,
        _parameter("tolerance"),
    ),
    Sweep("digits-mlp", "norm bound C", (2, 5, 10, 20, 50, 100), 20, _radius),
)


def slack_study(results: Path, console: Console) -> tuple[SlackStudy, bool]:
    """The study in `results`, computed and written there unless it is current.

    It takes well under a minute, so one that was stopped starts anew.

    Returns:
        the study, and whether it had to be computed.

    Raises:
        LetheError: if the file cannot be written, or an answer fails.
    """
    work = [(sweep, *_cells(sweep)) for sweep in SWEEPS]
    key = _key(work)
    if (kept := json_file.current(lambda: read(results), key)) is not None:
        return kept, False
    benches: dict[str, Workbench] = {}
    panels = []
    for sweep, title, cells in work:
        shown = track(
            cells,
            description=sweep.setting,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        points = tuple(_point(value, cell, benches) for value, cell in shown)
        panels.append(
            Panel(experiment=title, setting=sweep.setting, usual=sweep.usual, points=points)
        )
    study = SlackStudy(key=key, panels=tuple(panels), environment=describe(torch.device("cpu")))
    json_file.write(path_in(results), study)
    return study, True


def study_key() -> str:
    """sha256 of everything that determines the study's numbers."""
    return _key([(sweep, *_cells(sweep)) for sweep in SWEEPS])


def _key(work: list[tuple[Sweep, str, list[tuple[float, Cell]]]]) -> str:
    panels = [
        [title, sweep.setting, sweep.usual, [(v, cell.inputs.key) for v, cell in cells]]
        for sweep, title, cells in work
    ]
    return fingerprint({"schema": SCHEMA, "panels": panels})


def _cells(sweep: Sweep) -> tuple[str, list[tuple[float, Cell]]]:
    """The experiment's title, and every value with each seed."""
    registered = registry.find(METHOD)
    experiment = experiments.load(sweep.experiment)
    own = [row for row in experiment.rows if row.method == METHOD]
    row = own[0] if own else Row(method=METHOD, label=METHOD)
    row = row.model_copy(update={"params": row.params | PARAMS})
    cells = []
    for value in sweep.values:
        changed, row_of = sweep.change(experiment, row, value)
        cells += [(value, Cell.of(changed, row_of, registered, seed, "cpu")) for seed in SEEDS]
    return experiment.title, cells


def _point(value: float, cell: Cell, benches: dict[str, Workbench]) -> Point:
    """Answer the cell's request and measure. Cells of the same problem and request share models."""
    inputs = cell.inputs
    shared = fingerprint(inputs.model_dump(mode="json", include={"problem", "forget", "seeds"}))
    if shared not in benches:
        benches[shared] = Workbench(inputs, torch.device("cpu"), folder=None)
    bench = benches[shared]
    original, _ = bench.original
    reference, _ = bench.reference
    prepared = cell.method.prepare(bench.problem, original, inputs.seeds, Clock())
    request = Request.of(
        bench.problem, prepared, bench.forget, target=inputs.target, seeds=inputs.seeds
    )
    release = cell.method.answer(request)
    distance = float((release.state.weights.double() - reference.double()).norm())
    bounds = _bounds(release.claim)
    return Point(setting=value, seed=inputs.seeds.split, distance=distance, bounds=bounds)


def _bounds(claim: Claim) -> dict[Series, float]:
    """The least proved bound, which the noise is for, then every one that was evaluated."""
    evidence = claim.evidence
    evaluated = {evidence.theorem: evidence.reached}
    evaluated |= {other.theorem: other.value for other in evidence.alternatives}
    return {"proved": evidence.bound, **dict(sorted(evaluated.items()))}

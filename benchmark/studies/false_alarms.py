"""How often the verdicts on forgetting are wrong where the answer is known.

Retraining forgets and doing nothing does not. Over many seeds of one experiment, each with a split,
a forget set and models of its own, the first is told from retraining in about 5 % of cases, if the
tests are what they claim to be. Where the second is not told from it either, no row of that verdict
can pass: doing nothing is unresolved, and never indistinguishable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from benchmark.errors import LetheError
from benchmark.experiments.experiment import Experiment
from benchmark.metrics.scores import clopper_pearson
from benchmark.metrics.statistics import LEVEL
from benchmark.records import Store
from benchmark.studies.forget_quality import ForgetQuality
from benchmark.studies.quality_record import QualityRecord, ceiling, own, read_all, told
from benchmark.study.run import run

#: In the results folder; these records are no part of the board.
FOLDER = "false-alarms"


@dataclass(frozen=True)
class Alarms:
    """How often one kind of verdict said "distinguishable".

    Attributes:
        seeds: that one verdict is over.
        verdicts: how many there were.
        retrain: how often for retraining: false alarms.
        nothing: how often for doing nothing: the power of the tests.
    """

    seeds: int
    verdicts: int
    retrain: int
    nothing: int

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the rate of false alarms."""
        return clopper_pearson(self.retrain, self.verdicts)

    @property
    def sound(self) -> bool:
        """Whether the false alarms are compatible with the nominal rate, or fewer."""
        return self.interval[0] <= 1 - LEVEL


def false_alarms(
    experiment: Experiment,
    results: Path,
    device: torch.device,
    *,
    seeds: int,
    group: int,
    runs: int,
    shadows: int,
    console: Console,
) -> list[Alarms]:
    """Verdicts of one seed each, and of groups of as many as the board has.

    Args:
        experiment: whose problem and forget set are taken, and nothing else.
        results: where records are kept, in a folder of their own: a study that was stopped goes on.
        device: where to compute.
        seeds: how many, 0, 1, ...
        group: seeds of a verdict of the second kind.
        runs: models a side.
        shadows: models that an attack may use.
        console: for progress.

    Raises:
        LetheError: if there are too few seeds for a group, or retraining fails.
    """
    if not 2 <= group <= seeds:
        raise LetheError(f"--group must be from 2 to {seeds}, the number of seeds, not {group}")
    changes = {"seeds": tuple(range(seeds)), "methods": ("retrain",), "rows": (), "tuning": None}
    many = experiment.model_copy(update=changes)
    folder = results / FOLDER
    study = ForgetQuality(experiments=(many,), runs=runs, shadows=shadows)
    run(study, Store(folder), device, console=console)
    of_all = read_all(folder)
    found = [r for r in of_all if r.experiment == many.name and r.seeds.split < seeds]
    for record in found:
        if record.failure is not None:
            raise LetheError(f"retraining failed: {record.failure.message}")
    return [count(found, 1), count(found, group)]


def count(records: list[QualityRecord], group: int) -> Alarms:
    """Verdicts over each `group` of consecutive records; what is left over has none."""
    whole = len(records) - len(records) % group
    parts = [
        {record.seeds.split: record.scores for record in records[start : start + group]}
        for start in range(0, whole, group)
    ]
    return Alarms(
        seeds=group,
        verdicts=len(parts),
        retrain=sum(bool(told(part, own)) for part in parts),
        nothing=sum(bool(told(part, ceiling)) for part in parts),
    )

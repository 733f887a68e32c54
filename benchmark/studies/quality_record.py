"""Forget-quality records, and the verdict over several seeds: told from retraining or not?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import combine_pvalues

from benchmark.contract.seeds import Seeds
from benchmark.contract.value import Direction, Number
from benchmark.errors import present
from benchmark.metrics.divergence import RESOLUTION
from benchmark.metrics.statistics import LEVEL
from benchmark.metrics.statistics import verdict as against_floor
from benchmark.records import Envelope, MethodInfo, Store

# Forget-quality records: one JSON file a row and seed, beside the record of the cell.

SCHEMA: Final = 1
#: Shares at which a distribution of scores is kept: 0, 5, ... 100 %.
SHARES = tuple(k / 20 for k in range(21))


#: `unresolved`: not even doing nothing is told from retraining, so that passing says nothing.
Verdict = Literal["distinguishable", "indistinguishable", "unresolved"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(_Frozen):
    """One metric of a row, between what perfect unlearning and what doing nothing give.

    Attributes:
        value: of the row; None where it is not defined, with the reason in `note`.
        floor: the same metric of a second set of retrained models.
        ceiling: of the original models.
        direction: which way is better.
        unit: "" for a pure number.
        interval: of confidence, for other examples and the same models.
        n: how many numbers it was computed from.
        censored: a time limit came first, so that the value is a lower bound.
        note: why there is no value, or how to read it.
    """

    value: Number | None
    floor: float | None
    ceiling: float | None
    direction: Direction
    unit: str = ""
    interval: tuple[float, float] | None = None
    n: int | None = None
    censored: bool = False
    note: str = ""


class Distribution(_Frozen):
    """How an attack scores the forgotten examples, higher for what looks trained on.

    Attributes:
        title: of the attack.
        unlearned: at each of `SHARES`, the quantile over examples, models averaged.
        retrained: the same of models that never saw the examples.
    """

    title: str
    unlearned: tuple[float, ...] = Field(min_length=len(SHARES), max_length=len(SHARES))
    retrained: tuple[float, ...] = Field(min_length=len(SHARES), max_length=len(SHARES))


class QualityRecord(Envelope):
    """What many runs of one method, experiment and seed say of its forgetting.

    The first row of a seed bears the seconds of what all of them share.

    Attributes:
        runs: models a side.
        scores: by metric; none if it failed.
        verdict: of this seed's models, see `verdict`; None if it failed.
        distributions: by attack.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["quality"] = "quality"
    experiment: str
    method: MethodInfo
    seeds: Seeds
    runs: int = Field(ge=1)
    scores: dict[str, Score] = Field(default_factory=dict)
    verdict: Verdict | None = None
    distributions: dict[str, Distribution] = Field(default_factory=dict)

    @property
    def group(self) -> str:
        """Its experiment, apart from the cells."""
        return group_of(self.experiment)

    @property
    def title(self) -> str:
        """Its row and seed."""
        return f"{self.method.label}-seed-{self.seeds.split}"

    @property
    def path(self) -> str:
        """Where it lies in a results folder: beside the record of the cell."""
        return path_of(self.experiment, self.method.label, self.seeds.split)

    def numbers(self) -> dict[str, Any]:
        """Verdict and scores, floors and ceilings."""
        flat: dict[str, Any] = {"status": self.status, "verdict": self.verdict}
        for name, score in self.scores.items():
            flat |= {name: score.value, f"{name}.floor": score.floor}
            flat |= {f"{name}.ceiling": score.ceiling}
        return flat


def verdict(told: bool, nothing_told: bool) -> Verdict:
    """What to say of a row: only a test that doing nothing fails can be passed.

    Args:
        told: whether the row was told from retraining.
        nothing_told: whether the originals were, by the same test.
    """
    if told:
        return "distinguishable"
    return "indistinguishable" if nothing_told else "unresolved"


def group_of(experiment: str) -> str:
    """What the records of an experiment are called together."""
    return f"forget quality of {experiment}"


def path_of(experiment: str, label: str, seed: int) -> str:
    """Where a results folder keeps a row's record."""
    return f"{experiment}/{label}/quality-{seed}.json"


def read_all(results: Path) -> list[QualityRecord]:
    """Every record of a results folder, by experiment, label and seed.

    Raises:
        LetheError: for a damaged file.
    """
    found = Store(results).read_all("*/*/quality-*.json", QualityRecord)
    return sorted(found, key=lambda r: (r.experiment, r.method.label, r.seeds.split))


# The verdict over several seeds of a row: is it told from retraining?

#: What the verdict is over, and the word for it.
JUDGED = {
    "klom": "KLoM",
    "strongest_gap": "attack",
    "js_forget": "JS",
    "relearn_gap": "relearn",
    "restored_accuracy": "restored",
}

#: Scores by seed and metric.
Scores = dict[int, dict[str, Score]]
#: Reads a row's value, its floor or its ceiling out of a score.
Part = Callable[[Score], float | None]


def own(score: Score) -> float | None:
    """The row's value."""
    return score.value


def floor(score: Score) -> float | None:
    """The score of a second retraining."""
    return score.floor


def ceiling(score: Score) -> float | None:
    """The score of doing nothing."""
    return score.ceiling


def judge(scores: Scores, part: Part) -> tuple[Verdict, list[str]]:
    """The verdict over a row's seeds, and the tests that tell it from retraining.

    Each test at a level that keeps all of them together at 95 %: the permutation tests of the
    seeds, combined by Fisher's method, and a paired t test over seeds for each metric of
    `JUDGED`.

    Args:
        scores: by seed, one or more.
        part: the row's values, or its ceilings.
    """
    found = told(scores, part)
    return verdict(bool(found), bool(told(scores, ceiling))), found


def told(scores: Scores, part: Part) -> list[str]:
    """The tests that tell `part` from retraining, by their words."""
    seeds = list(scores.values())
    judged = [key for key in JUDGED if all(known(of_seed.get(key), part) for of_seed in seeds)]
    level = 1 - (1 - LEVEL) / (1 + len(judged) * (len(seeds) > 1))
    p_value = combine_pvalues([present(part(of_seed["p_value"])) for of_seed in seeds]).pvalue
    words = ["margins"] if p_value <= 1 - level else []
    for key in judged:
        entries = [of_seed[key] for of_seed in seeds]
        direction = entries[0].direction
        assert direction != "none"
        found = against_floor(
            np.array([part(entry) for entry in entries]),
            np.array([entry.floor for entry in entries]),
            direction,
            level,
        )
        # Deterministic training has a floor of 0 and no spread: round-off is no finding.
        if found.kind == "distinguishable" and abs(found.excess.mean) > RESOLUTION:
            words.append(JUDGED[key])
    return words


def known(score: Score | None, part: Part) -> bool:
    """Whether there is a number, and one to hold it against."""
    return score is not None and part(score) is not None and score.floor is not None

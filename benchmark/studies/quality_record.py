"""Forget-quality records: one JSON file a row and seed, beside the record of the cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark.contract.seeds import Seeds
from benchmark.contract.value import Direction, Number
from benchmark.records import Envelope, MethodInfo, Store

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

"""Forget-quality records: one JSON file a row and seed, beside the record of the cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import collected, json_file
from benchmark.contract.seeds import Seeds
from benchmark.metrics.value import Direction, Number
from benchmark.records import Environment, Failure, MethodInfo

SCHEMA = 1
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


class QualityRecord(_Frozen):
    """What many runs of one method, experiment and seed say of its forgetting.

    Attributes:
        key: sha256 of `inputs`; a row with the same key need not run again.
        inputs: everything that determines the numbers.
        runs: models a side.
        scores: by metric; none if it failed.
        verdict: of this seed's models, see `verdict`; None if it failed.
        distributions: by attack.
        seconds: how long it took; the first row of a seed bears what all of them share.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["quality"] = "quality"
    key: str
    experiment: str
    status: Literal["ok", "failed"]
    method: MethodInfo
    seeds: Seeds
    runs: int = Field(ge=1)
    inputs: dict[str, Any]
    scores: dict[str, Score] = {}
    verdict: Verdict | None = None
    distributions: dict[str, Distribution] = {}
    seconds: float
    environment: Environment
    failure: Failure | None = None
    finished: str


def verdict(told: bool, nothing_told: bool) -> Verdict:
    """What to say of a row: only a test that doing nothing fails can be passed.

    Args:
        told: whether the row was told from retraining.
        nothing_told: whether the originals were, by the same test.
    """
    if told:
        return "distinguishable"
    return "indistinguishable" if nothing_told else "unresolved"


def path_in(results: Path, experiment: str, label: str, seed: int) -> Path:
    """Where a results folder keeps a row's record."""
    return results / experiment / label / f"quality-{seed}.json"


def read(path: Path) -> QualityRecord:
    """The record in a file.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return json_file.read(path, "record", SCHEMA, QualityRecord.model_validate)


def read_all(results: Path) -> list[QualityRecord]:
    """Every record of a results folder, by experiment, label and seed.

    Raises:
        LetheError: for a damaged file.
    """
    found = [read(path) for path in collected.paths(results, "*/*/quality-*.json")]
    return sorted(found, key=lambda r: (r.experiment, r.method.label, r.seeds.split))

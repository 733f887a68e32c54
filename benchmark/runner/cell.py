"""A cell: one method on one experiment with one seed, and the key of its inputs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.contract.claim import Target
from benchmark.contract.method import Method
from benchmark.contract.seeds import Seeds
from benchmark.data.forget import ForgetSpec
from benchmark.errors import explain
from benchmark.experiments.experiment import Experiment, ProblemSpec, Row
from benchmark.records import MethodInfo, cell_path, fingerprint
from benchmark.registry import GUESTS, Registered
from benchmark.runner.source import source_hash
from benchmark.runner.tuning import TuningSpec, tuning_of

#: Raise this when a change to shared code changes results: every record is then out of date.
RECIPE = 3


class Inputs(BaseModel):
    """Everything that determines a cell's numbers; its hash is the cell's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: int
    problem: ProblemSpec
    forget: ForgetSpec
    target: Target
    seeds: Seeds
    device: str
    method: str
    method_source: str
    params: dict[str, Any]
    tuning: TuningSpec | None = Field(None, exclude_if=lambda value: value is None)

    @property
    def key(self) -> str:
        return fingerprint(self.model_dump(mode="json"))

    @classmethod
    def read(cls, content: dict[str, Any], where: str) -> Inputs:
        """The inputs stored in a record.

        Raises:
            LetheError: if they do not fit this version of the project.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise explain(error, where) from error


class Cell(BaseModel):
    """Inputs, and the place of the result on the board."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    experiment: str
    method: Method
    info: MethodInfo
    inputs: Inputs

    @property
    def where(self) -> str:
        """The cell in words."""
        return f"{self.experiment} · {self.info.label} · seed {self.inputs.seeds.split}"

    @property
    def path(self) -> str:
        """Where a results folder keeps its record."""
        return cell_path(self.experiment, self.info.label, self.inputs.seeds.split)

    @property
    def key(self) -> str:
        """See `Inputs`."""
        return self.inputs.key

    @classmethod
    def of(
        cls, experiment: Experiment, row: Row, registered: Registered, seed: int, device: str
    ) -> Cell:
        """The cell of `row` for `seed` on all axes.

        Raises:
            LetheError: for a parameter the method does not have, or a search space that does not
                fit it.
        """
        method = registered.method.build(row.params)
        inputs = Inputs(
            recipe=RECIPE,
            problem=experiment.problem,
            forget=experiment.forget,
            target=experiment.target,
            seeds=Seeds.all(seed),
            device=device,
            method=method.name,
            method_source=source_hash(registered.method, typed=registered.family == GUESTS),
            params=method.model_dump(mode="json"),
            tuning=tuning_of(method, experiment.tuning, row.search, experiment.forget.requests),
        )
        info = describe(method, registered, row.label, row.title)
        return cls(experiment=experiment.name, method=method, info=info, inputs=inputs)


def describe(method: Method, registered: Registered, label: str, title: str | None) -> MethodInfo:
    """What the board says of a method."""
    return MethodInfo(
        name=method.name,
        label=label,
        title=title or method.title,
        family=registered.family,
        role=method.role,
        certifies=method.evidence is not None,
        paper=method.source.paper,
        url=method.source.url,
        params=method.model_dump(mode="json"),
    )

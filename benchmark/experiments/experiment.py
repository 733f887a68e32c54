"""Reading and checking experiment files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmark.contract.certificate import Target
from benchmark.data.features import Features
from benchmark.data.forget import ForgetSpec
from benchmark.data.split import SplitSpec
from benchmark.errors import LetheError, explain, unknown
from benchmark.problem.model import MLPSpec, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.training import AdamTraining, NewtonTraining

FOLDER = Path(__file__).parent


class ProblemSpec(BaseModel):
    """Everything that determines a problem but its seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    features: Features
    split: SplitSpec
    model: Annotated[SoftmaxSpec | MLPSpec, Field(discriminator="kind")]
    objective: Objective
    training: Annotated[NewtonTraining | AdamTraining, Field(discriminator="algorithm")]
    precision: Literal["float32", "float64"]

    @property
    def strongly_convex(self) -> bool:
        """Whether the objective is: a linear model with a ridge."""
        return self.model.linear and self.objective.ridge > 0


class Row(BaseModel):
    """One row of an experiment: a method, a label of its own and parameters off their default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    label: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    title: str | None = None
    params: dict[str, Any] = {}


class Experiment(BaseModel):
    """A study: one problem, one kind of request, some rows and seeds.

    Attributes:
        methods: the methods that take part; all that can, by default.
        rows: settings of methods that do not run with their defaults; `rows_for` adds the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str
    problem: ProblemSpec
    forget: ForgetSpec
    target: Target = Target()
    seeds: tuple[int, ...] = Field(min_length=1)
    methods: tuple[str, ...] | None = None
    rows: tuple[Row, ...] = ()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return seeds

    def rows_for(self, methods: list[str]) -> list[Row]:
        """One row or more for every name in `methods`: those the file sets up, else the default.

        Where the file lists the methods that take part, for these and those it sets up only.

        Raises:
            LetheError: if the file names a method that is not in `methods` or repeats a label.
        """
        for name in [*(row.method for row in self.rows), *(self.methods or ())]:
            if name not in methods:
                raise unknown(f"method in experiment {self.name}:", name, methods)
        if self.methods is not None:
            named = {*self.methods, *(row.method for row in self.rows)}
            methods = [name for name in methods if name in named]
        rows = []
        for name in methods:
            own = [row for row in self.rows if row.method == name]
            rows += own or [Row(method=name, label=name)]
        labels = [row.label for row in rows]
        for label in labels:
            if labels.count(label) > 1:
                raise LetheError(f"experiment {self.name}: two rows are labelled '{label}'")
        return rows


def names() -> list[str]:
    """The experiments that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Experiment:
    """The experiment `name`, or the one in the file `name` if it ends in `.toml`.

    Raises:
        LetheError: if there is none, or the file is not valid.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise LetheError(f"experiment file {name} does not exist")
        raise unknown("experiment", name, names())
    try:
        content = tomllib.loads(path.read_text())
        return Experiment.model_validate({"name": path.stem, **content})
    except tomllib.TOMLDecodeError as error:
        raise LetheError(f"experiment file {path.name} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise explain(error, f"experiment file {path.name}") from error

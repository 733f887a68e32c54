"""Reading and checking experiment files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from benchmark import names as folder_names
from benchmark.contract.claim import Target
from benchmark.data.features import PIXELS, Features
from benchmark.data.forget import ForgetSpec
from benchmark.data.split import SplitSpec
from benchmark.errors import LetheError, explain, unknown
from benchmark.experiments.profile import at_scale
from benchmark.files import read_text
from benchmark.parameters import refuse_conversions
from benchmark.problem.fixed_point import FixedPoint
from benchmark.problem.model import ModelSpec
from benchmark.problem.models.convolutional import ConvolutionalSpec
from benchmark.problem.objective import Objective
from benchmark.problem.training import AdamTraining, DirectTraining, NewtonTraining

FOLDER = Path(__file__).parent
#: Of an experiment or a row: it becomes a folder of the results.
Name = Annotated[str, AfterValidator(folder_names.checked)]


class ProblemSpec(BaseModel):
    """Everything that determines a problem but its seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    features: Features
    split: SplitSpec
    model: Annotated[ModelSpec, Field(discriminator="kind")]
    objective: Objective
    training: Annotated[
        NewtonTraining | AdamTraining | DirectTraining, Field(discriminator="algorithm")
    ]
    precision: Literal["float32", "float64"]
    #: Declared: no request leaves fewer training rows. Noise that depends on their number takes it.
    rows_at_least: int | None = Field(None, ge=1, exclude_if=lambda value: value is None)
    #: Features are rounded to it, towards zero, for sums that are exact.
    fixed_point: FixedPoint | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _images(self) -> ProblemSpec:
        training = self.training
        if self.convolutional and self.features not in PIXELS:
            raise ValueError(f"a convolutional net looks at pixels: {', '.join(PIXELS)}")
        augmented = isinstance(training, AdamTraining) and training.augment is not None
        if augmented and not self.convolutional:
            raise ValueError("training.augment is for convolutional nets")
        direct = isinstance(training, DirectTraining)
        if direct and not ("squared_loss" in self.offers and self.precision == "float64"):
            raise ValueError(
                "direct training solves normal equations: take a linear model, objective.loss = "
                "'squared' with a ridge, and precision = 'float64'"
            )
        return self

    @property
    def convolutional(self) -> bool:
        """Whether the model sees rows as images."""
        return isinstance(self.model, ConvolutionalSpec)

    @property
    def offers(self) -> frozenset[str]:
        """What it is of what methods need a problem to be, see `benchmark.contract.method`."""
        convex = self.model.linear and self.objective.ridge > 0
        squared = convex and self.objective.loss == "squared"
        direct = isinstance(self.training, DirectTraining) and self.fixed_point is not None
        held = {"strong_convexity": convex, "squared_loss": squared, "exact_sums": direct}
        return frozenset(name for name, holds in held.items() if holds)


class Row(BaseModel):
    """One row of an experiment: a method, a label of its own and parameters off their default.

    `search` replaces the search space that the method declares, where the experiment tunes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    label: Name = Field(pattern=folder_names.LABEL)
    title: str | None = None
    params: dict[str, Any] = {}
    search: dict[str, tuple[Any, ...]] = {}


class Experiment(BaseModel):
    """A study: one problem, one kind of request, some rows and seeds.

    Attributes:
        methods: the methods that take part; all that can, by default.
        rows: settings of methods that do not run with their defaults; `rows_for` adds the rest.
        tuning: settings tried of every method with a search space; none if None. A certified method
            has the one that its row gives, or none.
        device: `cuda` if nothing less will do.
        profiles: names of the other scales that the file has; see `benchmark.experiments.profile`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    description: str
    problem: ProblemSpec
    forget: ForgetSpec
    target: Target = Target()
    seeds: tuple[int, ...] = Field(min_length=1)
    methods: tuple[str, ...] | None = None
    rows: tuple[Row, ...] = ()
    tuning: int | None = Field(None, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    profiles: tuple[str, ...] = ()
    _path: Path | None = PrivateAttr(None)

    @property
    def path(self) -> Path | None:
        """The file that it was read from; None if it was made otherwise."""
        return self._path

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return seeds

    @model_validator(mode="after")
    def _can_be_tuned(self) -> Experiment:
        if self.tuning is None and any(row.search for row in self.rows):
            raise ValueError("a row has a search space: set tuning, the settings to try")
        if self.tuning is not None and self.problem.split.validation is None:
            raise ValueError("tuning needs rows to score settings on: set problem.split.validation")
        return self

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
        folder_names.refuse_twins(labels, f"experiment {self.name}: the labels")
        return rows


def names() -> list[str]:
    """The experiments that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, profile: str | None = None) -> Experiment:
    """The experiment `name`, or the one in the file `name` if it ends in `.toml`.

    Args:
        name: as `names` lists it, or a path.
        profile: its scale; the file as it stands if None.

    Raises:
        LetheError: if there is none, it has no such profile, or the file is not valid.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise LetheError(f"experiment file {name} does not exist")
        raise unknown("experiment", name, names())
    text = read_text(path, "experiment file")
    where = f"experiment file {path.name}" + (f", profile {profile}" if profile else "")
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LetheError(f"experiment file {path.name} is not valid TOML: {reason}") from error
    try:
        content = at_scale({"name": path.stem, **content}, profile)
        found = Experiment.model_validate(content)
        refuse_conversions(content, found, where)
    except ValidationError as error:
        raise explain(error, where) from error
    except RecursionError as error:
        raise LetheError(f"{where}: it is nested too deeply") from error
    found._path = path.resolve()
    return found


def load_here(name: str, profile: str | None, *, gpu: bool) -> Experiment:
    """As `load`, on a machine with a GPU or without.

    By default it is the file as it stands with a GPU, else its profile `cpu` if it has one.

    Raises:
        LetheError: also if the experiment needs a GPU and there is none.
    """
    profiles = load(name).profiles
    if profile is None and not gpu and "cpu" in profiles:
        profile = "cpu"
    found = load(name, profile)
    if found.device == "cuda" and not gpu:
        smaller = [other for other in profiles if load(name, other).device == "cpu"]
        remedy = f"use --profile {' or '.join(smaller)}" if smaller else "it has no smaller profile"
        raise LetheError(f"experiment {found.name} needs a GPU, and none is used here: {remedy}")
    return found

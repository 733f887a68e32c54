"""Reading and checking experiment files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from benchmark import names as folder_names
from benchmark import plugins
from benchmark.contract.claim import Target
from benchmark.data import catalogue
from benchmark.data import features as feature_kinds
from benchmark.data.fitted.spec import PublicFeatures
from benchmark.data.forget import ForgetSpec
from benchmark.data.graphs import GraphData, GraphSpec
from benchmark.data.own.spec import Arrays, OwnData
from benchmark.data.split import SplitSpec, with_rows_of_file
from benchmark.errors import LetheError, explain, present, unknown
from benchmark.experiments.own import SEEDS, resolved, with_defaults
from benchmark.experiments.profile import (
    SMALLER,
    Name,
    Place,
    Row,
    Variant,
    Words,
    at,
    merged,
    methods_of,
    rows_of,
    variant,
    variants,
)
from benchmark.experiments.properties import read as read_property
from benchmark.files import read_toml
from benchmark.graph.scenarios import WORDS
from benchmark.parameters import refuse_conversions
from benchmark.problem.models import spec
from benchmark.problem.models.factory import search_beside
from benchmark.problem.models.fully_connected import TangentSpec
from benchmark.problem.models.spec import ModelSpec
from benchmark.problem.objective import Objective
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.newton import DirectTraining, NewtonTraining
from benchmark.properties.property import Property
from benchmark.rows import FixedPoint

FOLDER = Path(__file__).parent
#: The features of a graph.
PROPAGATED = "propagated"


def _one_form(value: Any) -> Any:
    """Refuse, in one sentence, what are no features; a union would write several."""
    if isinstance(value, dict):
        return PublicFeatures.model_validate(value)
    if isinstance(value, PublicFeatures) or value == PROPAGATED:
        return value
    try:
        if isinstance(value, str):
            return feature_kinds.find(value).name
    except LetheError:
        pass  # told of in full below
    names = map(repr, (*feature_kinds.discover(), PROPAGATED))
    raise ValueError(
        f"features are {', '.join(names)} or a table of what is fitted on public rows, not "
        f"{value!r}"
    )


def _one_source(value: Any) -> Any:
    """Refuse, in one sentence, what are no data, and read a table of settings as data."""
    if isinstance(value, dict):
        return (Arrays if "arrays" in value else OwnData).model_validate(value)
    if not isinstance(value, str | OwnData | Arrays):
        raise ValueError(
            "data is the name of a data set or a table, e.g. { csv = 'customers.csv', target = "
            f"'churn' }}, not {value!r}"
        )
    return value


class ProblemSpec(BaseModel):
    """Everything that determines a problem but its seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Annotated[str | OwnData | Arrays, BeforeValidator(_one_source)]
    features: Annotated[str | PublicFeatures, BeforeValidator(_one_form)]
    split: SplitSpec
    model: Annotated[SerializeAsAny[ModelSpec], BeforeValidator(spec.read)]
    objective: Objective
    training: Annotated[
        NewtonTraining | AdamTraining | DirectTraining, Field(discriminator="algorithm")
    ]
    precision: Literal["float32", "float64"]
    #: Declared: no request leaves fewer training rows. Noise that depends on their number takes it.
    rows_at_least: int | None = Field(None, ge=1, exclude_if=lambda value: value is None)
    #: Features are rounded to it, towards zero, for sums that are exact.
    fixed_point: FixedPoint | None = Field(None, exclude_if=lambda value: value is None)
    #: The data are a graph, and features are propagated over it.
    graph: GraphSpec | None = Field(None, exclude_if=lambda value: value is None)
    #: What is certified before and after; a file says it in `[property]`.
    kept_property: Annotated[SerializeAsAny[Property] | None, BeforeValidator(read_property)] = (
        Field(None, exclude_if=lambda value: value is None)
    )
    #: The hash of the code of features, of a kind of model and of a property that are plug-ins'.
    code: dict[str, str] = Field({}, exclude_if=lambda value: not value, repr=False)

    @model_validator(mode="after")
    def _current(self) -> ProblemSpec:
        """Hold the code of plug-ins to what was recorded."""
        parts: dict[str, type] = {"model": type(self.model)}
        if isinstance(self.features, str) and self.features != PROPAGATED:
            parts["features"] = feature_kinds.find(self.features)
        if self.kept_property is not None:
            parts["property"] = type(self.kept_property)
        found = {part: plugins.current(cls, self.code.get(part)) for part, cls in parts.items()}
        code = {part: one for part, one in found.items() if one is not None}
        object.__setattr__(self, "code", code)
        return self

    @model_validator(mode="after")
    def _propagated(self) -> ProblemSpec:
        if self.graph is None and self.features == PROPAGATED:
            raise ValueError("propagated features are of a graph: set problem.graph")
        if self.graph is None:
            if self.model.hops is not None:
                raise ValueError("a GCN sees a graph: set problem.graph, or take another model")
            return self
        if not isinstance(self.data, str):
            raise ValueError("problem.data is a graph's name: its file is problem.graph.file")
        if self.features != PROPAGATED:
            raise ValueError(
                "a graph's features are propagated from each node's own, and nothing is fitted on "
                "nodes that may be forgotten: set features = 'propagated'"
            )
        if not self.model.linear and self.model.hops is None:
            raise ValueError(
                "on a graph the model is a linear head or a GCN: set model.kind = 'softmax' or "
                "'gcn'"
            )
        if self.split.public is not None:
            raise ValueError("a graph has no public rows: leave out split.public")
        if self.kept_property is not None:
            raise ValueError("no property is certified on a graph: leave [property] out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Fill in what a file need not say."""
        return with_defaults(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _fitted(self) -> ProblemSpec:
        if isinstance(self.features, PublicFeatures) and self.split.public is None:
            raise ValueError(
                "features are fitted on public rows, and there are none: set problem.split.public"
            )
        return self

    @model_validator(mode="after")
    def _of_a_number(self) -> ProblemSpec:
        if not self.real_target:
            return self
        if self.objective.loss != "squared" or not self.model.linear:
            raise ValueError(
                "the target is a real number, which takes squared loss and a linear model: set "
                "objective.loss = 'squared' and model.kind = 'softmax', which then has one output"
            )
        if self.split.public is not None:
            raise ValueError(
                "the target is a real number, and the control of public rows is of classes: leave "
                "out split.public"
            )
        if self.kept_property is not None:
            raise ValueError(
                "the target is a real number, and properties are of classes: leave [property] out"
            )
        return self

    @model_validator(mode="after")
    def _images(self) -> ProblemSpec:
        training = self.training
        pixels = feature_kinds.keeping_images
        if self.convolutional and self.features not in pixels():
            raise ValueError(
                f"a convolutional net needs pixels: take features {', '.join(pixels())}"
            )
        augmented = isinstance(training, AdamTraining) and training.augment is not None
        if augmented and not self.convolutional:
            raise ValueError("training.augment is for convolutional nets: leave it out")
        if self.model.net is not None:
            tangent: Any = self.model  # no other kind has a net
            self._check_tangent(tangent)
        direct = isinstance(training, DirectTraining)
        if direct and not ("squared_loss" in self.offers and self.precision == "float64"):
            raise ValueError(
                "direct training solves normal equations: take a linear model, objective.loss = "
                "'squared' with a ridge, and precision = 'float64'"
            )
        return self

    def graph_data(self) -> GraphData:
        """The graph, of an experiment on one.

        Raises:
            LetheError: if it cannot be had, is wrong or is not what it should be.
        """
        return present(self.graph).load(self.graph_name)

    @property
    def graph_name(self) -> str:
        """Name of the graph, as `data` says it."""
        assert isinstance(self.data, str)
        return self.data

    def _check_tangent(self, model: TangentSpec) -> None:
        if self.split.public is None:
            raise ValueError(
                "a tangent model starts from weights that public rows train: set "
                "problem.split.public, e.g. to 500"
            )
        if self.objective.loss != "cross_entropy" or self.precision != "float64":
            raise ValueError(
                "a tangent model is certified for the cross-entropy in float64: set "
                "objective.loss = 'cross_entropy' and precision = 'float64'"
            )
        pixels = feature_kinds.keeping_images
        if model.augment is not None and self.features not in pixels():
            raise ValueError(f"model.augment is for images: take features {', '.join(pixels())}")

    @property
    def real_target(self) -> bool:
        """Whether a real number is predicted, and not classes."""
        return self.graph is None and catalogue.has_real_target(self.data)

    @property
    def convolutional(self) -> bool:
        """Whether the model sees rows as images."""
        return self.model.sees_images

    @property
    def constrained(self) -> bool:
        """Whether training is within the convex set of a property."""
        return self.kept_property is not None and self.kept_property.enforce == "training"

    @property
    def offers(self) -> frozenset[str]:
        """What it is of what methods need a problem to be, see `benchmark.contract.method`."""
        known = self.model.linear and self.objective.closed
        convex = known and self.objective.ridge > 0
        if self.constrained:
            head = convex and self.objective.loss == "cross_entropy"
            return frozenset({"classes", "constraint", *(("cone",) if head else ())})
        squared = convex and self.objective.loss == "squared"
        direct = isinstance(self.training, DirectTraining) and self.fixed_point is not None
        held = {
            "classes": not self.real_target,
            "strong_convexity": convex,
            "squared_loss": squared,
            "tangent": convex and self.model.net is not None,
            "exact_sums": direct,
            "one_vs_rest": convex and self.objective.loss == "one_vs_rest",
        }
        return frozenset(name for name, holds in held.items() if holds)


class Experiment(BaseModel):
    """A study: one problem, one kind of request, some rows and seeds.

    Attributes:
        methods: the methods that take part; all that can, by default.
        rows: settings of methods that do not run with their defaults; `rows_for` adds the rest.
        dropped: methods that only rows set up which take no part: they do not come back with
            their defaults, unless `methods` lists them. The file's reader sets it.
        tuning: settings tried of every method with a search space; none if None. A certified method
            has the one that its row gives, or none.
        device: `cuda` if nothing less will do.
        group: what it is run together with, by name; see `benchmark.experiments.facts`.
        trial: whether it is for trying things out, and its numbers mean nothing.
        profiles: names of the other scales and settings that the file has; see
            `benchmark.experiments.profile`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: Words
    description: Words = ""
    problem: ProblemSpec
    forget: ForgetSpec
    target: Target = Target()
    seeds: tuple[int, ...] = Field(SEEDS, min_length=1)
    methods: tuple[str, ...] | None = None
    rows: tuple[Row, ...] = ()
    dropped: tuple[str, ...] = Field((), exclude_if=lambda value: not value)
    tuning: int | None = Field(None, ge=1)
    device: Literal["cpu", "cuda"] = "cpu"
    group: tuple[Name, ...] = ()
    trial: bool = False
    profiles: tuple[str, ...] = ()
    _path: Path | None = PrivateAttr(None)
    _place: Place | None = PrivateAttr(None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def path(self) -> Path | None:
        """The file that it was read from; None if it was made otherwise."""
        return self._path

    @property
    def changes(self) -> dict[str, Any]:
        """The settings that `load` was told to change in what the file says, by dotted path."""
        return dict(self._changes)

    @property
    def place(self) -> Place:
        """Where in its file it is; that of a file of its own if it was made otherwise."""
        return self._place or Place(self.name)

    @field_validator("group", mode="before")
    @classmethod
    def _listed(cls, group: Any) -> Any:
        return (group,) if isinstance(group, str) else group

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return seeds

    @model_validator(mode="after")
    def _on_a_graph(self) -> Experiment:
        if (self.problem.graph is not None) != self.forget.of_graph:
            on, of = ("a graph", WORDS) if self.problem.graph else ("rows", ("random", "class"))
            raise ValueError(
                f"requests are on {on}: forget.scenario is one of {', '.join(of)}, not "
                f"{self.forget.scenario}"
            )
        return self

    @model_validator(mode="after")
    def _of_a_number(self) -> Experiment:
        if self.problem.real_target and self.forget.of_classes:
            raise ValueError(
                f"forget.scenario '{self.forget.scenario}' is of classes, and the target is a real "
                "number: take random, subpopulation, largest or influential"
            )
        return self

    @model_validator(mode="after")
    def _can_be_tuned(self) -> Experiment:
        if self.tuning is None and any(row.search for row in self.rows):
            raise ValueError("a row has a search space: set tuning, the settings to try")
        if self.tuning is not None and self.problem.split.validation is None:
            raise ValueError("tuning needs rows to score settings on: set problem.split.validation")
        return self

    def rows_for(self, methods: list[str]) -> list[Row]:
        """One row or more for every name in `methods`: those the file sets up, else the default.

        Where the file lists the methods that take part, for these and those it sets up only; where
        it does not, for none whose rows it leaves out.

        Raises:
            LetheError: if the file names a method that is not in `methods` or repeats a label.
        """
        for name in [*(row.method for row in self.rows), *(self.methods or ())]:
            if name not in methods:
                raise unknown(f"method in experiment {self.name}:", name, methods)
        if self.methods is None:
            methods = [name for name in methods if name not in self.dropped]
        else:
            named = {*self.methods, *(row.method for row in self.rows)}
            methods = [name for name in methods if name in named]
        rows = []
        for name in methods:
            own = [row for row in self.rows if row.method == name]
            rows += own or [Row(method=name, label=name)]
        if not rows:
            raise LetheError(f"experiment {self.name} lists no method: name one, or leave it out")
        labels = [row.label for row in rows]
        for label in labels:
            if labels.count(label) > 1:
                raise LetheError(f"experiment {self.name}: two rows are labelled '{label}'")
        folder_names.refuse_twins(labels, f"experiment {self.name}: the labels")
        return rows


def distinct(experiments: tuple[Experiment, ...]) -> tuple[Experiment, ...]:
    """Each once, whatever files it was read from: two would write the same records at a time.

    Of one name, those with other settings stay, for a study to refuse.
    """
    found: list[tuple[Experiment, dict[str, Any]]] = []
    for one in experiments:
        content = one.model_dump()
        if all(content != other for _, other in found):
            found.append((one, content))
    return tuple(one for one, _ in found)


def with_seeds(experiment: Experiment, seeds: Iterable[int]) -> Experiment:
    """The experiment with further seeds, so that the board counts them."""
    seeds = tuple(dict.fromkeys((*experiment.seeds, *seeds)))
    return experiment.model_copy(update={"seeds": seeds})


#: The experiments of a study.
Distinct = Annotated[tuple[Experiment, ...], AfterValidator(distinct)]


def names() -> list[str]:
    """The experiments that come with the project, each a file with profiles of its own."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def _file(name: str) -> Path:
    return FOLDER / f"{name}.toml"


def every() -> Iterator[Experiment]:
    """All experiments of the project: each file as it stands, then with each of its profiles."""
    for path in map(_file, names()):
        for found in variants(read(path)).values():
            yield _experiment(found, path, {})


def load(
    name: str, profile: str | None = None, changes: Mapping[str, Any] | None = None
) -> Experiment:
    """The experiment `name`, or the one in the file `name` if it ends in `.toml`.

    Args:
        name: as `names` lists it, as one of its profiles is called on the board, or a path.
        profile: of the file; the file as it stands if None.
        changes: settings by their dotted path, e.g. `{"problem.objective.ridge": 1e-3}`, that are
            set after the profile's. The name stays unless `name` is one of them, and a results
            folder holds records of a name at one set of changes only.

    Raises:
        LetheError: if there is none, it has no such profile, or the file is not valid.

    >>> load("digits-softmax").problem.objective.ridge
    0.01
    >>> load("digits-softmax", changes={"problem.objective.ridge": 0.1}).problem.objective.ridge
    0.1
    """
    path, own = _place(name)
    if own is not None and profile is not None:
        raise LetheError(f"experiment {name} is a profile of {path.stem}: name that one")
    try:
        return _experiment(variant(read(path), profile or own), path, changes or {})
    except RecursionError as error:
        raise LetheError(f"experiment file {path.name}: it is nested too deeply") from error


def read(path: Path) -> dict[str, Any]:
    """What an experiment's file says, named after it unless it has a name.

    Raises:
        LetheError: if it cannot be read or is no TOML.
    """
    return {"name": path.stem, **read_toml(path, "experiment file")}


def _experiment(found: Variant, path: Path, changes: Mapping[str, Any]) -> Experiment:
    profile, content = found.place.profile, found.content
    for setting, value in changes.items():
        content = merged(content, at(setting, value))
    where = f"experiment file {path.name}" + (f", profile {profile}" if profile else "")
    if "dropped" in content:
        raise LetheError(f"{where}: 'dropped' is not set by a file: list methods, or only_rows")
    rest = {key: value for key, value in content.items() if key not in ("rows", "only_rows")}
    rest = {k: with_rows_of_file(v, path.parent) if k == "problem" else v for k, v in rest.items()}
    tables = content.get("rows", {})
    rows = rows_of(tables, content.get("only_rows"), where)
    there = {row.method for row in rows}
    dropped = tuple(dict.fromkeys(m for m in methods_of(tables, where) if m not in there))
    rest = {"title": content["name"], **rest, "rows": rows, "dropped": dropped}
    experiment = of_tables(rest, path.parent, where)
    experiment._path, experiment._place = path.resolve(), found.place
    experiment._changes = dict(changes)
    return experiment


def of_tables(content: dict[str, Any], folder: Path, where: str) -> Experiment:
    """The experiment of settings at hand, with own data read and named rows found.

    Args:
        content: as of a file, but for its rows, which are `Row`s.
        folder: which paths start from.
        where: what is read, for errors.

    Raises:
        LetheError: for settings that are not valid, or data that cannot be read.
    """
    if "property" in content:
        content = _with_property(content, where)
    search_beside(content.get("problem"), folder)
    if "problem" in content:
        content = content | {"problem": _with_graph(content["problem"], folder, where)}
    content = resolved(content, folder, where)
    try:
        experiment = Experiment.model_validate(content)
        refuse_conversions(content, experiment, where)
    except ValidationError as error:
        raise explain(error, where, Experiment) from error
    return experiment


def _with_property(content: dict[str, Any], where: str) -> dict[str, Any]:
    """An experiment's settings, the property among the problem's: what is trained depends on it.

    Raises:
        LetheError: if it is none, or does not fit.
    """
    try:
        declared = read_property(content["property"])
    except ValueError as error:
        raise LetheError(f"{where}: {error}") from error
    rest = {key: value for key, value in content.items() if key != "property"}
    problem = rest.get("problem", {})
    if not isinstance(problem, dict):
        return rest
    return rest | {"problem": {**problem, "kept_property": declared}}


def _with_graph(problem: Any, folder: Path, where: str) -> Any:
    """An experiment's `problem`, its own graph read from a path that starts at `folder`.

    Raises:
        LetheError: if the graph cannot be read or is wrong.
    """
    graph = problem.get("graph") if isinstance(problem, dict) else None
    if not (isinstance(graph, dict) and "file" in graph):
        return problem
    try:
        return problem | {"graph": GraphSpec.model_validate(graph).located(folder)}
    except ValidationError as error:
        raise explain(error, f"{where}: problem.graph", GraphSpec) from error


def _place(name: str) -> tuple[Path, str | None]:
    """The file of an experiment, and its profile if that is what is named.

    Raises:
        LetheError: if there is none.
    """
    path = Path(name) if name.endswith(".toml") else _file(name)
    if path.is_file():
        return path, None
    if name.endswith(".toml"):
        what = "is a folder" if path.is_dir() else "does not exist"
        raise LetheError(f"experiment file {name} {what}")
    paths = sorted(FOLDER.glob("*.toml"))
    paths.sort(key=lambda path: not name.startswith(path.stem))  # as most profiles are called
    for path in paths:
        for profile, one in variants(read(path)).items():
            if one.name == name:
                return path, profile
    raise unknown("experiment", name, names())


def load_here(name: str, profile: str | None, *, gpu: bool) -> Experiment:
    """As `load`, on a machine with a GPU or without.

    By default it is the file as it stands with a GPU, else its profile `cpu` if it has one.

    Raises:
        LetheError: also if the experiment needs a GPU and there is none.
    """
    base = load(name)
    if profile is None and not gpu and base.place.profile is None and "cpu" in base.profiles:
        profile = "cpu"
    found = load(name, profile)
    if found.device == "cuda" and not gpu:
        path = str(found.path)
        fit = [one for one in found.profiles if load(path, one).device == "cpu"]
        smaller = [one for one in fit if one in SMALLER] or fit
        remedy = f"use --profile {' or '.join(smaller)}" if smaller else "it has no smaller profile"
        raise LetheError(f"experiment {found.name} needs a GPU, and none is used here: {remedy}")
    return found

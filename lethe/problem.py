"""A learning problem of one's own, before any seed divides the rows, and a look at its net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.data import catalogue
from benchmark.data.dataset import Dataset
from benchmark.data.own.arrays import from_arrays
from benchmark.data.own.spec import Arrays
from benchmark.errors import LetheError
from benchmark.experiments import experiment
from benchmark.experiments.own import with_defaults
from benchmark.problem.models import spec
from benchmark.problem.models.factory import FactorySpec, Finding, built, look_at
from benchmark.problem.models.spec import ModelSpec

# A net of one's own, before anything is trained on it.


#: A kind's name, a table of settings, a factory of nets, or a model itself.
Model = str | dict[str, Any] | Callable[..., nn.Module] | ModelSpec


def spec_of(model: Model) -> ModelSpec:
    """The model that a caller means.

    Args:
        model: `softmax`, `my_package.nets:small_cnn`, a table as in an experiment's file, or a
            function of (inputs, classes) that returns a net.

    Raises:
        LetheError: if there is none, or for settings that do not fit it.
    """
    if isinstance(model, str):
        model = {"factory" if ":" in model else "kind": model}
    elif callable(model) and not isinstance(model, ModelSpec):
        return FactorySpec.of(model)
    return model if isinstance(model, ModelSpec) else spec.spec_of(model)


def check_model(
    factory: str | Callable[..., nn.Module],
    inputs: int | tuple[int, int, int],
    classes: int,
    *,
    precision: str = "float64",
    **args: Any,
) -> list[Finding]:
    """Say what is wrong with a net before it is trained: a line each, the worst first.

    Args:
        factory: a function of (inputs, classes, **args) that returns a torch module, or where it
            is, as `my_package.nets:small_cnn`.
        inputs: features of a row; of an image height, width and channels.
        classes: number of labels.
        precision: of rows and weights.
        **args: of the factory.

    Returns:
        What was found; a net with a finding that is `refused` is not trained.

    Raises:
        LetheError: if there is no such function.

    Example:
        >>> from torch import nn
        >>> def net(inputs, classes):
        ...     return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, classes))
        >>> for finding in check_model(net, 20, 3):
        ...     print(finding.refused, finding.text[:40])
        False ReLU (1) has no second derivative everyw
    """
    if isinstance(factory, str):
        found: Any = spec.spec_of({"factory": factory})
        function = found.function
    else:
        function = factory
    images = not isinstance(inputs, int)

    def build() -> nn.Module:
        return built(function, inputs, classes, images=images, args=args)

    return look_at(build, inputs, classes, getattr(torch, precision))


# Data, model and objective.


#: Rows to forget: by ids or numbers, so many at random, or a table as in an experiment's file.
Forget = Sequence[str | int] | int | dict[str, Any] | None
#: The name of one, see `lethe.Loss`.
Loss = str
#: Share of the rows that a request forgets by default.
_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Problem:
    """What `lethe.evaluate` and `lethe.advise` work on.

    Make one with `from_arrays`, or with `of` from an experiment's file. A method is given something
    else, `lethe.LearningProblem`: rows that one seed has divided, in torch's tensors.

    Attributes:
        name: of the data, for records.
        title: for people.
        settings: the table `[problem]` of an experiment, with the data themselves.
        request: the table `[forget]` of the experiment that it was made from; None from arrays.
    """

    name: str
    title: str
    settings: dict[str, Any]
    request: dict[str, Any] | None = None

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        *,
        ids: Sequence[object] | None = None,
        groups: Sequence[object] | None = None,
        ridge: float = 1e-2,
        loss: Loss | None = None,
        model: Model = "softmax",
        columns: Sequence[str] | None = None,
        ranges: dict[str, tuple[float, float]] | None = None,
        classes: Sequence[object] | None = None,
        task: str | None = None,
        name: str = "arrays",
        **settings: Any,
    ) -> Problem:
        """The problem of arrays in memory.

        Args:
            X: (n, inputs) numbers, a data frame of them, or (n, height, width[, channel]) uint8
                images.
            y: (n,) labels, numbers or texts; or real numbers to predict.
            ids: (n,) a name for each row, by which requests name it; records hold their hashes.
            groups: (n,) equal for rows that must not be divided between training and test.
            ridge: of the mean loss: (ridge / 2) ||w||^2 is added to it.
            loss: of the objective; cross-entropy by default, squared loss of a real `y`.
            model: a kind, a table, or a factory of torch modules; see `lethe.check_model`.
            columns: names of the inputs.
            ranges: the least and the largest number of inputs, declared, by name; that of a real
                `y` by the name `target`.
            classes: the labels in order.
            task: `classification` or `regression`, where `y` does not tell: whole numbers of few
                values are classes, numbers with fractions are predicted as numbers.
            name: what the data are called.
            **settings: of the table `[problem]` in an experiment's file: `features`, `split`,
                `training`, `precision`, `rows_at_least`.

        Raises:
            LetheError: for anything wrong with them; no cell's content is in it.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> problem = Problem.from_arrays(*load_iris(return_X_y=True), name="iris")
            >>> problem
            Problem 'iris': 150 rows, 3 classes, softmax, ridge 0.01
        """
        kinds: dict[str, Any] = {"ids": ids, "groups": groups, "columns": columns, "ranges": ranges}
        dataset = from_arrays(X, y, **kinds, classes=classes, task=task, name=name)
        usual = "cross_entropy" if dataset.target is None else "squared"
        table = {
            "data": Arrays.of(dataset),
            "model": spec_of(model),
            "objective": {"loss": loss or usual, "ridge": ridge},
        }
        twice = table.keys() & settings.keys()
        if twice:
            raise LetheError(f"{min(twice)} is set by arguments of its own: leave it out")
        return cls._checked(name, name, table | settings)

    @classmethod
    def of(cls, name: str, profile: str | None = None) -> Problem:
        """The problem of an experiment that comes with Lethe, or of one in a file.

        Args:
            name: as `lethe list` has it, or the path of a .toml file.
            profile: of the file.

        Raises:
            LetheError: if there is none.
        """
        found = experiment.load(name, profile)
        settings = {key: getattr(found.problem, key) for key in type(found.problem).model_fields}
        settings = {key: value for key, value in settings.items() if value is not None}
        forget = found.forget.model_dump(exclude_none=True)
        return cls(found.name, found.title, settings, forget)

    @classmethod
    def _checked(cls, name: str, title: str, table: dict[str, Any]) -> Problem:
        """The problem, once its settings are known to be valid."""
        problem = cls(name, title, with_defaults(table))
        problem.experiment({"count": 1}, (0,))
        return problem

    def experiment(
        self, forget: Forget, seeds: Sequence[int], **more: Any
    ) -> experiment.Experiment:
        """The experiment in memory that forgets some rows.

        Args:
            forget: see `lethe.evaluate`.
            seeds: of its cells.
            **more: settings of the experiment.

        Raises:
            LetheError: for rows that there are not, or settings that do not go together.
        """
        content = {
            "name": self.name,
            "title": self.title,
            "description": "",
            "problem": self.settings,
            "forget": self._forget(forget),
            "seeds": tuple(seeds),
        }
        return experiment.of_tables(content | more, Path.cwd(), f"problem '{self.name}'")

    @property
    def dataset(self) -> Dataset:
        """The rows, as they were read."""
        return catalogue.load(self.settings["data"])

    def _forget(self, forget: Forget) -> dict[str, Any]:
        """The table `[forget]` that a caller means."""
        if forget is None:
            return self.request or {"share": _SHARE}
        if isinstance(forget, dict):
            return forget
        if isinstance(forget, Integral):
            return {"count": forget if isinstance(forget, bool) else int(forget)}
        if isinstance(forget, str) or not isinstance(forget, Iterable):
            what = "one text" if isinstance(forget, str) else "another value"
            raise LetheError(f"forget is a list of ids or row numbers, or how many, not {what}")
        names = [one.item() if hasattr(one, "item") else one for one in forget]
        return {"ids" if self.dataset.train.ids is not None else "rows": names}

    def __repr__(self) -> str:
        """The problem in a line."""
        part, objective = self.dataset.train, self.settings["objective"]
        ridge = objective["ridge"] if isinstance(objective, dict) else objective.ridge
        model = self.settings["model"]
        kind = model["kind"] if isinstance(model, dict) else model.kind
        target = self.dataset.target
        what = f"{self.dataset.classes} classes, {kind}"
        if target is not None:
            what = f"{target.in_words}, a linear model"
        return f"Problem '{self.name}': {len(part.labels):,} rows, {what}, ridge {ridge:.4g}"

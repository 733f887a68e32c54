"""Files that `lethe new` writes: one of each kind, which works as it stands."""

from __future__ import annotations

_METHOD = '''"""{title}."""

from __future__ import annotations

from pydantic import Field

from lethe import Method, Release, Request, Source, descend


class {cls}(Method):
    """Go on training on the rows that stay: say here in a sentence what yours does."""

    name = "{name}"
    title = "{title}"
    source = Source(paper="Authors: Title (venue year)", url="https://example.org")
    # The rows that a request looks at. The checks give the others other content.
    needs = frozenset({{"retain"}})

    # A parameter is a field with a default and bounds.
    epochs: int = Field(2, ge=1)
    learning_rate: float = Field(1e-3, gt=0)

    def unlearn(self, request: Request) -> Release:
        """Answer a request: change no input, and draw from request.generator alone."""
        with request.clock.phase("training"):
            weights = descend(
                request.problem.loss,
                request.original.weights,
                request.retain_rows,
                request.generator("training"),
                epochs=self.epochs,
                batch=128,
                learning_rate=self.learning_rate,
            )
        # What certifies also names its evidence and releases a claim: docs/guide/add-a-method.md.
        return request.release(weights)
'''
_ATTACK = '''"""{title}."""

from __future__ import annotations

import numpy as np

from lethe import RowAttack, RowCase, Source


class {cls}(RowAttack):
    """The probability of the label: say here in a sentence what yours goes by."""

    name = "{name}"
    title = "{title}"
    source = Source(paper="Authors: Title (venue year)", url="https://example.org")

    def score(self, case: RowCase) -> np.ndarray:
        """(n,), higher for what looks as if it had been trained on."""
        return np.exp(case.outputs[np.arange(len(case.labels)), case.labels])
'''
_MODEL = '''"""{title}."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from lethe import ModelSpec


class {cls}(ModelSpec):
    """A net with one hidden layer: say here in a sentence what yours is."""

    title = "{title}"

    kind: Literal["{name}"] = "{name}"
    width: int = Field(16, ge=1)

    @property
    def smooth(self) -> bool:
        """Whether the loss has a Lipschitz Hessian."""
        return True

    def module(self, inputs: int, classes: int) -> nn.Module:
        """From rows (n, inputs) to logits (n, classes)."""
        return nn.Sequential(
            nn.Linear(inputs, self.width), nn.GELU(), nn.Linear(self.width, classes)
        )
'''
_DATA = '''"""{title}."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lethe import Dataset, NamedSet, dataset_from_arrays


class {cls}(NamedSet):
    """Images of 8 x 8 in two classes, left and right."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def load(cls) -> Dataset:
        images = np.random.default_rng(0).integers(0, 100, (240, 8, 8), dtype=np.uint8)
        labels = np.arange(240) % 2
        images[labels == 1, :, 4:] += 100
        return replace(dataset_from_arrays(images, labels), name=cls.name)
'''
_FEATURE = '''"""{title}."""

from __future__ import annotations

import numpy as np

from lethe import ImageFeature


class {cls}(ImageFeature):
    """The mean of each column."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        means = images.astype(np.float64).mean(axis=1) / levels
        return means.reshape(len(images), -1)
'''
_SCENARIO = '''"""{title}."""

from __future__ import annotations

from torch import Generator, Tensor

from lethe import Scenario, ScenarioContext


class {cls}(Scenario):
    """The first rows."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def draw(
        cls,
        trained: Tensor,
        count: int | None,
        requests: int,
        context: ScenarioContext | None,
        generator: Generator,
    ) -> tuple[Tensor, ...]:
        return trained[: requests * count].split(count)
'''
_LOSS = '''"""{title}."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lethe import Loss


class {cls}(Loss):
    """The cross-entropy with smoothed labels."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def mean(cls, logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, label_smoothing=0.1)
'''
_METRIC = '''"""{title}."""

from __future__ import annotations

from lethe import Metric, Predictions


class {cls}(Metric):
    """How many rows there are."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"
    meaning = "How many rows were predicted."

    @classmethod
    def measure(cls, predictions: Predictions) -> float:
        return len(predictions.labels)
'''
_SOLVER = '''"""{title}."""

from __future__ import annotations

import torch

from lethe import Solution, Solver, System, conjugate_gradients


class {cls}(Solver):
    """Conjugate gradients under another name."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def run(
        cls, system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        return conjugate_gradients(
            system.operator, system.b, tolerance=tolerance, max_products=budget
        )
'''
_DEFINITION = '''"""{title}."""

from __future__ import annotations

from lethe import Definition, Method, Release, Request


class {cls}(Definition):
    """The other side answers the empty request."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"
    words = "The method compared with itself where the rows never were."

    @classmethod
    def reference(cls, method: Method, without: Request, claimed: Release) -> Release:
        return method.answer(without)
'''
_PROPERTY = '''"""{title}."""

from __future__ import annotations

from pydantic import Field

from lethe import LearningProblem, Predictor, Property, PropertyFinding


class {cls}(Property):
    """No weight is larger than a bound: say here in a sentence what yours states."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    bound: float = Field(10.0, gt=0)

    def certify(
        self, predictor: Predictor, problem: LearningProblem, budget: int
    ) -> PropertyFinding:
        """What holds: `held` must be sound, and `violated` also takes a pair of inputs."""
        margin = self.bound - float(predictor.members.abs().max())
        return PropertyFinding(
            verdict="held" if margin >= 0 else "unknown",
            margin=margin,
            tolerance=0.0,
            work=predictor.members.numel(),
            domain="all weights",
        )
'''
_EXECUTOR = '''"""{title}."""

from __future__ import annotations

from typing import Any

import torch

from lethe import Executor, ExecutorSettings, run_unit


class {cls}(Executor):
    """Units here, the last one first."""

    name = "{name}"
    title = "{title}"
    source = "Authors: Title (venue year)"

    @classmethod
    def of(cls, asked: ExecutorSettings) -> {cls}:
        return cls()

    def run(self, study: Any, units: list[Any], store: Any, fresh: bool, tell: Any) -> None:
        for unit in reversed(units):
            run_unit(type(study), unit, store, torch.device("cpu"), fresh, tell)
'''
#: By kind, a format of `name`, `cls` and `title`.
TEMPLATES = {
    "method": _METHOD,
    "attack": _ATTACK,
    "model": _MODEL,
    "data": _DATA,
    "feature": _FEATURE,
    "scenario": _SCENARIO,
    "loss": _LOSS,
    "metric": _METRIC,
    "solver": _SOLVER,
    "definition": _DEFINITION,
    "executor": _EXECUTOR,
    "property": _PROPERTY,
}
#: Where a kind lies in a copy of the project.
PLACES = {
    "method": "baselines",
    "attack": "benchmark/attacks",
    "model": "benchmark/problem/models",
    "data": "benchmark/data/sets",
    "feature": "benchmark/features",
    "scenario": "benchmark/scenarios",
    "loss": "benchmark/losses",
    "metric": "benchmark/measures",
    "solver": "benchmark/solvers",
    "definition": "benchmark/definitions",
    "executor": "benchmark/study/executors",
    "property": "benchmark/properties",
}

"""Judges of a problem's models: by accuracy, or by how far off a real number is.

The problem says which. Everything else asks its judge, and a measure of the other kind is never
computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from torch import Tensor

from benchmark.contract.value import Direction, Value
from benchmark.errors import LetheError
from benchmark.metrics.divergence import jensen_shannon_to_retrain, kl_from_retrain
from benchmark.metrics.metric import NumberMetric, Numbers, Predictions, of_numbers
from benchmark.metrics.utility import accuracy, losses
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.rows import RealTarget

#: What a judge keeps of the outputs.
K = TypeVar("K", Predictions, Numbers)
Kept = Predictions | Numbers


@dataclass(frozen=True)
class Score:
    """Form in which a measure of outputs stands in a record.

    Attributes:
        unit: of the number; of a difference of two `points` where it is %.
        direction: which way is better.
        factor: what the number is multiplied by.
    """

    unit: str
    direction: Direction
    factor: float = 1

    def value(self, number: float | None, n: int, direction: Direction | None = None) -> Value:
        """The number of one model, on n rows."""
        direction = direction or self.direction
        if number is None:
            return Value(value=None, unit=self.unit, direction=direction, n=n, note=_UNDEFINED)
        return Value(value=self.factor * number, unit=self.unit, direction=direction, n=n)

    def difference(
        self,
        ours: float | None,
        theirs: float | None,
        n: int,
        direction: Direction = "zero",
        note: str = "",
    ) -> Value:
        """The number of one model less that of another."""
        unit = "points" if self.unit == "%" else self.unit
        if ours is None or theirs is None:
            return Value(value=None, unit=unit, direction=direction, n=n, note=_UNDEFINED)
        value = self.factor * (ours - theirs)
        return Value(value=value, unit=unit, direction=direction, n=n, note=note)


_UNDEFINED = "it is not defined on these rows"


class Judge(ABC, Generic[K]):
    """Measures of the outputs of one problem's models.

    Attributes:
        main: the measure, of `scores`, that says how useful a model is: higher is better, in %.
        title: its name within a sentence.
        loss_unit: of a row's loss.
    """

    main: ClassVar[str]
    title: ClassVar[str]
    loss_unit: ClassVar[str]

    @property
    @abstractmethod
    def scores(self) -> Mapping[str, Score]:
        """The measures by name."""

    @abstractmethod
    def outputs(self, predictor: Predictor, x: Tensor) -> Tensor:
        """Outputs of a model for inputs `x` (n, inputs), a row of the first dimension each."""

    @abstractmethod
    def measure(self, outputs: Tensor, y: Tensor) -> dict[str, float | None]:
        """Each measure on one row or more; None where it is not defined."""

    @abstractmethod
    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(n,) the loss of each row, by which it is attacked."""

    @abstractmethod
    def compared(self, retrained: K, ours: K) -> dict[str, Value]:
        """Distances of a model's outputs from the retrained one's, row by row."""

    @abstractmethod
    def kept(self, outputs: Tensor, y: Tensor) -> K:
        """Predictions that are kept beside a record."""

    @abstractmethod
    def worth(self, outputs: Tensor, y: Tensor) -> float:
        """Number that settings are chosen by, 1 at most; it is defined on any rows."""


class OfClasses(Judge[Predictions]):
    """Judge of classes: by accuracy, and by their probabilities."""

    main, title, loss_unit = "accuracy", "test accuracy", "nats"

    @property
    def scores(self) -> Mapping[str, Score]:
        return {"accuracy": Score("%", "higher", 100)}

    def outputs(self, predictor: Predictor, x: Tensor) -> Tensor:
        return predictor.log_probabilities(x)

    def measure(self, outputs: Tensor, y: Tensor) -> dict[str, float | None]:
        return {"accuracy": accuracy(outputs, y)}

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return losses(outputs, y)

    def compared(self, retrained: Predictions, ours: Predictions) -> dict[str, Value]:
        outputs = retrained.log_probabilities, ours.log_probabilities
        found = jensen_shannon_to_retrain(*outputs)
        found["kl"] = kl_from_retrain(*outputs)
        return {name: measure.as_value() for name, measure in found.items()}

    def kept(self, outputs: Tensor, y: Tensor) -> Predictions:
        return Predictions(outputs.cpu().numpy(), y.cpu().numpy())

    def worth(self, outputs: Tensor, y: Tensor) -> float:
        return accuracy(outputs, y)


@dataclass(frozen=True)
class OfNumbers(Judge[Numbers]):
    """Judge of numbers: by the metrics in `benchmark/measures`, in the units of the target."""

    target: RealTarget
    metrics: tuple[type[NumberMetric], ...]
    main, title, loss_unit = "r2", "test R²", ""

    @property
    def scores(self) -> Mapping[str, Score]:
        return {
            metric.name: Score(metric.unit or self.target.name, metric.direction)
            for metric in self.metrics
        }

    def outputs(self, predictor: Predictor, x: Tensor) -> Tensor:
        found = predictor.numbers(x)
        if not found.isfinite().all():
            raise LetheError("a prediction of the model is no finite number")
        return found

    def measure(self, outputs: Tensor, y: Tensor) -> dict[str, float | None]:
        numbers, found = self.kept(outputs, y), dict[str, float | None]()
        for metric in self.metrics:
            try:
                found[metric.name] = float(metric.measure(numbers))
            except LetheError:  # R² of rows that are all the same
                found[metric.name] = None
        return found

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (outputs - y.double()).square()

    def compared(self, retrained: Numbers, ours: Numbers) -> dict[str, Value]:
        apart = float(np.sqrt(np.square(ours.predicted - retrained.predicted).mean()))
        n, unit = len(ours.targets), self.target.name
        return {"rms_to_retrain": Value(value=apart, unit=unit, direction="lower", n=n)}

    def kept(self, outputs: Tensor, y: Tensor) -> Numbers:
        return Numbers(*(self.target.in_units(one.cpu().numpy()) for one in (outputs, y)))

    def worth(self, outputs: Tensor, y: Tensor) -> float:
        """One minus the root mean squared error, on the target's scale."""
        return 1 - float((outputs - y.double()).square().mean().sqrt())


def judge_of(problem: Problem) -> Judge[Any]:
    """The judge of a problem's models."""
    if problem.target is None:
        return OfClasses()
    return OfNumbers(problem.target, tuple(of_numbers()))

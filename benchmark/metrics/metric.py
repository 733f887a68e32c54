"""Metrics of what a release predicts, computed without running its cell again.

A metric is a class in `benchmark/measures/`, or in the entry-point group `lethe.metrics`. The
log-probabilities that it reads lie beside the record; see `benchmark.predictions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmark import plugins
from benchmark.contract.value import Direction, Value

#: Between the name of a metric, that of a part of the data, and what the metric adds.
DOT = "."
NOT_KEPT = "predictions not kept"


@dataclass(frozen=True)
class Predictions:
    """Predictions of a release for some rows.

    Attributes:
        log_probabilities: (n, classes) float32, n at least 1.
        labels: (n,) int64; of forgotten rows those that were trained on.
    """

    log_probabilities: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Numbers:
    """Predictions of a real target for some rows, in its own units.

    Attributes:
        predicted, targets: (n,) float64, n at least 1.
    """

    predicted: np.ndarray
    targets: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """(n,) what was predicted less what is true."""
        return self.predicted - self.targets

    def __len__(self) -> int:
        return len(self.targets)


class Metric(ABC):
    """A function of predictions alone.

    Attributes:
        name: of the column, before the part of the data: `NAME.test`, `NAME.forget`.
        title: heading of the column.
        source: the paper, or whose it is.
        meaning: for people, in a sentence.
        unit: "" for a pure number.
        direction: which way is better.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    meaning: ClassVar[str]
    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "none"

    @classmethod
    @abstractmethod
    def measure(cls, predictions: Any) -> float | Mapping[str, float]:
        """One number; or several, each under a word that is added to the name.

        Args:
            predictions: `Predictions`, or `Numbers` of a `NumberMetric`.
        """


class NumberMetric(Metric):
    """A metric of predicted numbers; its unit is the target's where it names none.

    Lethe's own are measured at once, and stand in the record: `NAME_test`, `NAME_test_gap`.
    """

    @classmethod
    @abstractmethod
    def measure(cls, predictions: Numbers) -> float:
        """One number.

        Raises:
            LetheError: if it is not defined on these rows.
        """


def _lacks(cls: type[Metric]) -> str:
    """Defect of a metric, in words; "" where there is none."""
    if DOT in cls.name:
        return f"is called '{cls.name}': leave out the dot, which divides the names of columns"
    if not isinstance(getattr(cls, "meaning", None), str):
        return "declares no 'meaning': say in a sentence what its number is"
    return ""


KIND = plugins.Kind[Metric](
    word="metric",
    wanted="a Metric class",
    accepts=lambda cls: issubclass(cls, Metric),
    packages=("benchmark.measures",),
    group="lethe.metrics",
    lacks=_lacks,
)


#: All metrics by name, in the order of files, then plug-ins.
discover = KIND.classes


def of_column(key: str) -> type[Metric] | None:
    """The metric that a column such as `calibration.test` is of; None if there is none."""
    return discover().get(key.partition(DOT)[0]) if DOT in key else None


def of_numbers() -> list[type[NumberMetric]]:
    """Lethe's own metrics of predicted numbers."""
    return [
        metric
        for metric in discover().values()
        if issubclass(metric, NumberMetric) and plugins.code_of(metric) is None
    ]


def measured(parts: Mapping[str, Predictions | Numbers]) -> dict[str, Value]:
    """Every metric on every part whose predictions are of its kind, by the name of its column.

    A metric that fails, or gives something else than a number, has None and a note that says why.
    Metrics that are measured at once, and stand in the record, are left out.
    """
    found: dict[str, Value] = {}
    for metric in discover().values():
        numbers = issubclass(metric, NumberMetric)
        if numbers and metric in of_numbers():
            continue
        for part, predictions in parts.items():
            if numbers == isinstance(predictions, Numbers):
                found |= _values(metric, part, predictions)
    return found


def _values(
    metric: type[Metric], part: str, predictions: Predictions | Numbers
) -> dict[str, Value]:
    try:
        numbers = metric.measure(predictions)
        words = numbers if isinstance(numbers, Mapping) else {"": numbers}
        return {
            DOT.join(filter(None, [metric.name, part, word])): Value(
                value=float(number),
                unit=metric.unit,
                direction=metric.direction,
                n=len(predictions),
            )
            for word, number in words.items()
        }
    except Exception as error:  # any error of a plug-in: its column says so, and the others stand
        note = f"{metric.name} failed: {type(error).__name__}: {error}".splitlines()[0]
        return {f"{metric.name}{DOT}{part}": Value(value=None, note=note)}

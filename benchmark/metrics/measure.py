"""A value that knows its bounds, and checks on the arrays that metrics are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmark.contract.value import Direction, Value
from benchmark.errors import LetheError

# A value that knows its bounds.


@dataclass(frozen=True)
class Measure:
    """One metric of one model or set of models.

    Attributes:
        value: the number; None where it is not defined, with the reason in `note`.
        direction: which way is better.
        bounds: the least and the largest value there can be.
        unit: "" for a pure number.
        n: how many examples it was computed from.
        interval: of confidence, or None.
        note: why there is no value, or how to read it.

    Raises:
        LetheError: for a value that is not a number, or outside its bounds: the metric is wrong.
    """

    value: float | None
    direction: Direction
    bounds: tuple[float, float]
    unit: str = ""
    n: int | None = None
    interval: tuple[float, float] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        low, high = self.bounds
        if self.value is None:
            if not self.note:
                raise LetheError("a metric without a value must say why")
        elif not (math.isfinite(self.value) and low <= self.value <= high):
            raise LetheError(f"a metric gave {self.value}, outside its bounds [{low}, {high}]")

    def as_value(self) -> Value:
        """What goes into a record."""
        return Value(
            value=self.value, unit=self.unit, direction=self.direction, n=self.n, note=self.note
        )


# Checks on arrays.


def probabilities(log_probabilities: np.ndarray, name: str) -> np.ndarray:
    """(..., classes) float64 log-probabilities, checked to sum to one.

    Raises:
        LetheError: if they do not: they are logits, or losses, or not numbers.
    """
    outputs = np.asarray(log_probabilities, dtype=np.float64)
    if outputs.ndim < 2 or outputs.size == 0:
        raise LetheError(f"{name}: log-probabilities need a row for each example")
    if not np.allclose(np.exp(outputs).sum(axis=-1), 1, atol=1e-5):
        raise LetheError(f"{name}: these are no log-probabilities, they do not sum to one")
    return outputs


def scores(values: np.ndarray, name: str, dimensions: int) -> np.ndarray:
    """Finite float64 scores with `dimensions` axes, none of them empty.

    Raises:
        LetheError: for another shape, or a score that is not a finite number.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions or array.size == 0:
        raise LetheError(f"{name}: scores need {dimensions} axes, none of them empty")
    if not np.isfinite(array).all():
        raise LetheError(f"{name}: some scores are not finite numbers")
    return array

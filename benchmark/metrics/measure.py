"""A value that knows its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmark.contract.value import Direction, Value
from benchmark.errors import LetheError


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

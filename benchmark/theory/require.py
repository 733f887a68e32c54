"""Checks of the conditions that theorems share."""

from __future__ import annotations

import math

from benchmark.errors import AssumptionBroken


def finite(**numbers: float) -> None:
    """Refuse NaN and infinity.

    Raises:
        AssumptionBroken: naming the first argument that is not a finite number.
    """
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise AssumptionBroken(f"{name} must be a finite number; it is {value}")


def nonnegative(**numbers: float) -> None:
    """Refuse what is negative or not finite.

    Raises:
        AssumptionBroken: naming the first argument that fails.
    """
    finite(**numbers)
    for name, value in numbers.items():
        if value < 0:
            raise AssumptionBroken(f"{name} must be at least 0; it is {value:.3g}")


def positive(**numbers: float) -> None:
    """Refuse what is zero, negative or not finite.

    Raises:
        AssumptionBroken: naming the first argument that fails.
    """
    finite(**numbers)
    for name, value in numbers.items():
        if value <= 0:
            raise AssumptionBroken(f"{name} must be above 0; it is {value:.3g}")


def probability(**numbers: float) -> None:
    """Refuse what does not lie strictly between 0 and 1.

    Raises:
        AssumptionBroken: naming the first argument that fails.
    """
    for name, value in numbers.items():
        if not 0 < value < 1:
            raise AssumptionBroken(f"{name} must lie strictly between 0 and 1; it is {value:.3g}")

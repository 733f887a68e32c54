"""A target of real numbers, and the scale that a model learns it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Of claims on a target whose range is read off rows that a request may name.
CAVEAT = (
    "the range of the target is that of the numbers that occur, in rows that may be forgotten too"
)


@dataclass(frozen=True)
class RealTarget:
    """A column of real numbers that is predicted, scaled so that its range becomes -1..1.

    No scaled target is longer than a one-hot label, so that what is proved of squared loss on
    labels of norm 1 at most holds of both.

    Attributes:
        name: of the column, whose units errors are told in.
        low, high: what -1 and 1 stand for.
        declared: whether they are, or are numbers that occur, which are nobody's to print.

    >>> price = RealTarget("price", 100.0, 300.0)
    >>> price.scaled(np.array([100.0, 250.0])), price.in_units(np.array([0.5]))
    (array([-1. ,  0.5]), array([250.]))
    """

    name: str
    low: float
    high: float
    declared: bool = True

    @property
    def in_words(self) -> str:
        """What is predicted, with its range where that is declared."""
        return f"a number from {self.low:g} to {self.high:g}" if self.declared else "a number"

    @property
    def middle(self) -> float:
        """What 0 stands for."""
        return self.low / 2 + self.high / 2

    @property
    def half(self) -> float:
        """How many of its units are one of the scale."""
        return self.high / 2 - self.low / 2

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """(n,) float64 in -1..1, of values within the range."""
        return np.clip((values - self.middle) / self.half, -1.0, 1.0) + 0.0

    def in_units(self, scaled: np.ndarray) -> np.ndarray:
        """(n,) float64 in the target's own units."""
        return self.middle + self.half * np.asarray(scaled, dtype=np.float64)

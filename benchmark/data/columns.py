"""The columns of a table."""

from __future__ import annotations

from dataclasses import dataclass

#: Of claims on a table whose scale is fitted on rows that a request may name.
CAVEAT = (
    "features are standardised by the mean and the deviation of training rows that may be forgotten"
)


@dataclass(frozen=True)
class Column:
    """One column of a table as its file has it.

    Attributes:
        name: in the file.
        categories: how many there are, each an input that is 0 or 1; None for a number.
        low, high: the range that a number is declared to be in; None where it is not.
    """

    name: str
    categories: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def width(self) -> int:
        """How many inputs it becomes."""
        return 1 if self.categories is None else self.categories

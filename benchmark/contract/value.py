"""A measured number with what is needed to read it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict
from pydantic.dataclasses import dataclass

#: `zero`: the nearer to 0 the better, on either side. `none`: no side is better.
Direction = Literal["higher", "lower", "zero", "none"]

#: No number that is computed with is larger: its square is still finite, and a sum of squares.
LARGEST = 1e150


def _not_too_large(value: float) -> float:
    if abs(value) > LARGEST:
        raise ValueError(f"{value:g} is too large to compute with: at most {LARGEST:g}")
    return value


_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
Number = Annotated[float, AfterValidator(_not_too_large)]


@dataclass(frozen=True, slots=True, kw_only=True, config=_STRICT)
class Value:
    """One metric of one cell; a board holds half a million of them, so it has slots.

    Attributes:
        value: the number; None where it is not defined for this row, with the reason in `note`.
        unit: "" for a pure number.
        direction: which way is better.
        n: how many examples it was computed from.
        note: why there is no value, or how to read it.
    """

    value: Number | None
    unit: str = ""
    direction: Direction = "none"
    n: int | None = None
    note: str = ""

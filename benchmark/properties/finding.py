"""Findings about a property: verdict, margin, and a pair of inputs where it is violated."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmark.contract.value import Number

#: `constructed`: the weights lie in a declared convex set of weights that have the property.
#: `held`: verified. `violated`: with a pair of inputs. `unknown`: the budget did not suffice.
FindingVerdict = Literal["constructed", "held", "violated", "unknown"]
Enforce = Literal["never", "release", "training"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pair(_Frozen):
    """Two inputs whose outputs contradict a property.

    Attributes:
        x, other: both as a model takes them, float64.
        value, other_value: the output at each, in float64.
        units: both in original units, by column; a category by its number, from 0.
        feature: the column that differs; "" where several do.
    """

    x: tuple[float, ...]
    other: tuple[float, ...]
    value: float
    other_value: float
    units: dict[str, tuple[float, float]] = {}
    feature: str = ""


class Finding(_Frozen):
    """Result of certifying one model.

    Attributes:
        margin: lower bound of what must not be negative, certified up to the tolerance; None where
            nothing is known.
        feature: the one with the least margin; "" where there is none.
        witness: of a violation.
        tolerance: margins down to its negative count as held.
        work: boxes that were bounded, or inputs or conditions that were looked at one by one.
        seconds: of the processor.
        domain: what the verdict is about, in words.
        share: of test rows that have the property, where it is one of rows.
    """

    verdict: FindingVerdict
    margin: Number | None
    feature: str = ""
    witness: Pair | None = None
    tolerance: float = Field(ge=0)
    work: int = Field(ge=0)
    seconds: float = Field(0.0, ge=0)
    domain: str
    share: float | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _shown(self) -> Finding:
        if (self.verdict == "violated") != (self.witness is not None):
            raise ValueError("a violation, and nothing else, has a witness")
        return self


class Kept(_Frozen):
    """Findings about a property before and after a request was answered.

    Attributes:
        name: of the property.
        declared: its parameters.
        enforce: `release` projects what is published, `training` every step of training as well.
        before: of the original, as it would be released.
        after: of the release.
        retrained: of the retrained model, as it would be released.
        sigma: release noise per coordinate; None where there is none.
        survival: probability that release noise leaves the property in place, without projection.
        survived, draws: the share of draws of that noise in which it stayed in place.
        lost: how many test rows have the property when retrained and not in the release.
    """

    name: str
    declared: dict[str, object]
    enforce: Enforce
    before: Finding
    after: Finding
    retrained: Finding
    sigma: float | None = None
    survival: float | None = None
    survived: float | None = None
    draws: int | None = None
    lost: int | None = Field(None, exclude_if=lambda value: value is None)

    def numbers(self) -> dict[str, object]:
        """Numbers that the inputs determine, under flat names."""
        found: dict[str, object] = {}
        for name in ("before", "after", "retrained"):
            one: Finding = getattr(self, name)
            found |= {f"{name}.verdict": one.verdict, f"{name}.margin": one.margin}
        return {f"property.{k}": v for k, v in found.items()} | {"property.survival": self.survival}

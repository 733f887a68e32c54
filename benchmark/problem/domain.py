"""The declared domain of a table's rows: the possible inputs and their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from benchmark.errors import LetheError, unknown


@dataclass(frozen=True)
class Feature:
    """One column of a table, and where it is among the inputs of a model.

    Attributes:
        name: of the column.
        places: of its inputs: one of a number, one a category.
        low, high: least and largest possible number, in original units; 0 and 1 of categories.
        middle, half: an input is (value - middle) / half.
    """

    name: str
    places: tuple[int, ...]
    low: float
    high: float
    middle: float
    half: float
    categorical: bool = False

    def scaled(self, value: float) -> float:
        """The input of a value in original units."""
        return (value - self.middle) / self.half


@dataclass(frozen=True)
class Domain:
    """All rows that there can be: numbers in their ranges, and one category of each column.

    It is declared, and the same whatever rows are forgotten.
    """

    features: tuple[Feature, ...]

    @property
    def inputs(self) -> int:
        return sum(len(feature.places) for feature in self.features)

    @cached_property
    def numbers(self) -> tuple[Feature, ...]:
        """The columns of numbers."""
        return tuple(one for one in self.features if not one.categorical)

    @cached_property
    def categories(self) -> tuple[Feature, ...]:
        """The other columns."""
        return tuple(one for one in self.features if one.categorical)

    @cached_property
    def choices(self) -> np.ndarray:
        """(columns, most) the places of each column of categories; short rows repeat the last."""
        most = max((len(one.places) for one in self.categories), default=1)
        rows = [one.places + one.places[-1:] * (most - len(one.places)) for one in self.categories]
        return np.array(rows, dtype=np.int64).reshape(-1, most)

    @cached_property
    def owners(self) -> np.ndarray:
        """(features, inputs) bool: whose each input is."""
        found = np.zeros((len(self.features), self.inputs), dtype=bool)
        for row, one in zip(found, self.features, strict=True):
            row[list(one.places)] = True
        return found

    def number(self, name: str) -> Feature:
        """The column of numbers called so.

        Raises:
            LetheError: if there is none, or it has categories, which have no order.
        """
        found = {one.name: one for one in self.features}
        if name not in found:
            raise unknown("feature of a property:", name, found)
        if found[name].categorical:
            raise LetheError(
                f"property: '{name}' holds categories, which have no order: name a column of "
                "numbers"
            )
        return found[name]

    def narrowed(self, ranges: Mapping[str, tuple[float, float]]) -> Domain:
        """The domain with some ranges in place of its own, in original units.

        Raises:
            LetheError: for a column that is not there, or a range that is empty or too wide.
        """
        for name, (low, high) in ranges.items():
            one = self.number(name)
            if not low < high:
                raise LetheError(
                    f"property.domain: {name} = [{low:g}, {high:g}] is empty: the lower end comes "
                    "first"
                )
            if low < one.low or high > one.high:
                raise LetheError(
                    f"property.domain: {name} = [{low:g}, {high:g}] leaves the declared range "
                    f"[{one.low:g}, {one.high:g}]: keep within it"
                )
        return Domain(
            tuple(
                replace(one, low=ranges[one.name][0], high=ranges[one.name][1])
                if one.name in ranges
                else one
                for one in self.features
            )
        )

    def check(self, x: Tensor) -> None:
        """Refuse rows (n, inputs) outside the domain, up to round-off.

        Raises:
            LetheError: naming the first column that leaves it, and no cell.
        """
        room = 64 * torch.finfo(x.dtype).eps
        for one in self.numbers:
            values, low, high = x[:, one.places[0]], one.scaled(one.low), one.scaled(one.high)
            if bool(((values < low - room) | (values > high + room)).any()):
                raise LetheError(
                    f"property: the data leave the declared domain [{one.low:g}, {one.high:g}] of "
                    f"'{one.name}': declare a wider one"
                )

    @property
    def box(self) -> tuple[Tensor, Tensor]:
        """The least and the largest value of every input, (inputs,) each."""
        low, high = torch.zeros(2, self.inputs, dtype=torch.float64)
        for one in self.features:
            for place in one.places:
                low[place], high[place] = one.scaled(one.low), one.scaled(one.high)
        return low, high

    @property
    def centre(self) -> Tensor:
        """The middle of each range and the first category of each column, (inputs,) float64."""
        x = torch.zeros(self.inputs, dtype=torch.float64)
        for one in self.features:
            middle = 1.0 if one.categorical else (one.low + one.high) / 2
            x[one.places[0]] = one.scaled(middle)
        return x

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform rows of the domain, (count, inputs) float64."""
        x = torch.zeros(count, self.inputs, dtype=torch.float64)
        for one in self.features:
            if one.categorical:
                chosen = torch.randint(len(one.places), (count,), generator=generator)
                places = torch.tensor(one.places)[chosen]
                x[torch.arange(count), places] = one.scaled(1.0)
            else:
                share = torch.rand(count, generator=generator, dtype=torch.float64)
                low, high = one.scaled(one.low), one.scaled(one.high)
                x[:, one.places[0]] = low + share * (high - low)
        return x

    def original(self, x: Tensor) -> dict[str, float | int]:
        """A row (inputs,) in original units: a number, or which category it has, from 0."""
        found: dict[str, float | int] = {}
        for one in self.features:
            values = [float(x[place]) for place in one.places]
            if one.categorical:
                found[one.name] = values.index(max(values))
            else:
                found[one.name] = values[0] * one.half + one.middle
        return found

    @property
    def words(self) -> str:
        """E.g. `30 numbers and 2 categories`."""
        return f"{len(self.numbers)} numbers in their ranges, {len(self.categories)} categories"

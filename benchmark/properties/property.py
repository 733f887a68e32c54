"""The contract of a property: one file, one class, found by being there."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from torch import Tensor

from benchmark import parameters, plugins
from benchmark.errors import LetheError
from benchmark.problem.convex import ConvexSet
from benchmark.problem.model import Predictor
from benchmark.problem.problem import Problem
from benchmark.properties.finding import Enforce, Finding, Pair


class Property(BaseModel, ABC):
    """A statement about a model that somebody has signed off, and that a request may break.

    A subclass declares `name`, `title` and `source`, its parameters as annotated fields, and
    `certify`. It may use only what is declared and public: a convex set, a domain or a scale that
    depends on rows would still hold something of those that are forgotten.

    Attributes:
        enforce: `never` measures; `release` projects what is published onto `within`; `training`
            projects in every step of training too.
        budget: boxes or points that a search of `certify` may look at before it says `unknown`;
            it may have several searches, one a feature, say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]

    enforce: Enforce = "never"
    budget: int = Field(200_000, ge=1)

    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **handler(self)}

    def check(self, problem: Problem) -> None:
        """Refuse a problem that the property says nothing about, before anything is trained.

        Raises:
            LetheError: it says what to change.
        """

    @abstractmethod
    def certify(self, predictor: Predictor, problem: Problem, budget: int) -> Finding:
        """The verdict on a model, with its margin.

        `held` must be sound. `violated` comes with a pair whose outputs, computed again by the
        predictor, contradict the property by more than round-off.

        Args:
            predictor: what is, or would be, released; an ensemble is judged as one.
            problem: whose declared domain the statement is about.
            budget: boxes or points; a verdict depends on it and on no clock.
        """

    def within(self, problem: Problem) -> ConvexSet | None:
        """Weights that have the property by construction; None if no convex set of them is known.

        It must not depend on any row.
        """
        return None

    def attack(
        self, predictor: Predictor, problem: Problem, generator: torch.Generator
    ) -> Pair | None:
        """A pair that contradicts the property, by code that shares nothing with `certify`."""
        return None

    def survival(self, weights: Tensor, problem: Problem, sigma: float) -> float | None:
        """Probability that weights (d,) plus N(0, sigma^2 I) have it; None if not known."""
        return None

    def constraints(self, problem: Problem) -> Tensor | None:
        """Rows (k, d): a model has the property if and only if none times w is negative.

        None where no such rows exist, as for nets.
        """
        return None

    def rows(self, predictor: Predictor, problem: Problem) -> Tensor | None:
        """Test rows that have it, (n,) bool; None where it is not a property of rows."""
        return None

    def penalty(self, problem: Problem, weights: Tensor, x: Tensor) -> Tensor | None:
        """A term that training adds to its loss on a batch `x` (n, inputs); None for none."""
        return None

    def timed(self, predictor: Predictor, problem: Problem) -> Finding:
        """`certify` within the declared budget, with the seconds it took."""
        start = time.process_time()
        found = self.certify(predictor, problem, self.budget)
        return found.model_copy(update={"seconds": time.process_time() - start})

    def constraint(self, problem: Problem) -> ConvexSet | None:
        """The set that is projected onto; None where nothing is enforced.

        Raises:
            LetheError: if there is none and something is to be enforced.
        """
        if self.enforce == "never":
            return None
        found = self.within(problem)
        if found is None:
            raise LetheError(
                f"property {self.name}: no convex set of weights has it by construction, for a "
                f"model of the kind '{problem.model.spec.name}': set property.enforce = 'never'"
            )
        return found


KIND = plugins.Kind[Property](
    word="property",
    wanted="a Property class",
    accepts=lambda cls: issubclass(cls, Property),
    packages=("benchmark.properties",),
    group="lethe.properties",
)


#: Every property by name: the project's, then those of plug-ins.
discover = cache(KIND.classes)


def build(name: str, params: dict[str, Any]) -> Property:
    """A property with `params` over its defaults.

    Raises:
        LetheError: for an unknown property, an unknown parameter or a wrong value.
    """
    return parameters.build(KIND.find(name), params, name, "property")

"""The property of an experiment: read from its file, and bound to the problem it is about."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmark.data.dataset import Column
from benchmark.errors import LetheError, present
from benchmark.problem.domain import Domain, Feature
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.cone import ConeTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.properties.property import Property, build


def read(value: Any) -> Any:
    """Read a property from a table of settings; errors are those that pydantic expects.

    Raises:
        ValueError: for anything but a property or its table, for a table without a name, or one
            that does not fit a property.
    """
    if value is None or isinstance(value, Property):
        return value
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise ValueError("property: set its name in a table, e.g. [property] name = 'monotone'")
    try:
        return build(name, {key: one for key, one in value.items() if key != "name"})
    except LetheError as error:
        raise ValueError(str(error)) from error


def domain_of(columns: tuple[Column, ...]) -> Domain | None:
    """The domain that declared ranges and categories make; None where a number has no range.

    Inputs are scaled as `declared-ranges` has it, see `benchmark.data.dataset`.
    """
    if not columns or any(c.categories is None and c.low is None for c in columns):
        return None
    root, place, found = float(np.sqrt(len(columns))), 0, []
    for column in columns:
        places = tuple(range(place, place + column.width))
        place += column.width
        if column.categories is None:
            low, high = float(present(column.low)), float(present(column.high))
            middle, half = (high + low) / 2, (high - low) / 2 * root
            found.append(Feature(column.name, places, low, high, middle, half))
        else:
            found.append(Feature(column.name, places, 0.0, 1.0, 0.0, root, categorical=True))
    return Domain(tuple(found))


def with_property(problem: Problem, declared: Property | None) -> Problem:
    """The problem with the property's demands on training and on releases.

    Raises:
        LetheError: if the property says nothing about such a problem, or its set does not go with
            the training.
    """
    if declared is None:
        return problem
    declared.check(problem)
    within = declared.constraint(problem)
    extra = partial(_extra, declared, problem) if _has_extra(declared) else None
    problem = replace(problem, released_within=within, extra=extra)
    if within is None or declared.enforce != "training":
        return problem
    training = problem.training
    if training.radius is not None:
        raise LetheError(
            "property.enforce = 'training' projects every step: leave out training.radius"
        )
    if isinstance(training, AdamTraining) and training.gradient_tolerance is None:
        return replace(problem, training=training.model_copy(update={"radius": within}))
    if isinstance(training, NewtonTraining) and problem.model.spec.widths == ():
        if problem.objective.ridge == 0:
            raise LetheError(
                "property.enforce = 'training' solves with a head's Hessian, which is singular "
                "without a ridge: set problem.objective.ridge above 0"
            )
        cone = ConeTraining(
            tolerance=training.tolerance, max_steps=training.max_steps, within=within
        )
        return replace(problem, training=cone)
    raise LetheError(
        "property.enforce = 'training' goes with training.algorithm = 'newton-cg' on a softmax "
        "head, or with 'adam' without a gradient_tolerance"
    )


def _has_extra(declared: Property) -> bool:
    return type(declared).penalty is not Property.penalty


def _extra(declared: Property, problem: Problem, weights: Any, rows: Any) -> Any:
    found = declared.penalty(problem, weights, rows.x)
    return 0.0 if found is None else found

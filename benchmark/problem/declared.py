"""Public bounds on the data, written down beforehand and checked."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.problem.fixed_point import FixedPoint


@dataclass(frozen=True)
class Declared:
    """Bounds that hold for every data set of an experiment, whatever a request names.

    A number that follows from them is the same with the forgotten rows and without.

    Attributes:
        rows_at_least: rows that are left after any request; None where nothing is declared.
        feature_norm: no row of features is longer; None where the features have no bound.
        fixed_point: the form that features are in; None where they are any numbers.
        caveats: what was fitted on rows that a request may name, such as the scale of features:
            a claim about the weights holds on condition that it is taken for public.
    """

    rows_at_least: int | None = None
    feature_norm: float | None = None
    fixed_point: FixedPoint | None = None
    caveats: tuple[str, ...] = ()

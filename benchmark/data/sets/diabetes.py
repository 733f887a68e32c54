"""Diabetes: 442 patients, 10 baseline measures, and how far the disease had gone a year later."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.data.named import TableSet
from benchmark.data.own.table import REGRESSION, Roles, Table

#: A progression above this number is of the class `above`; about half of the patients.
THRESHOLD = 140
#: Round numbers around those that the set's description publishes, in its units.
RANGES = {
    "age": (0.0, 100.0),
    "bmi": (10.0, 50.0),
    "bp": (40.0, 160.0),
    "s1": (50.0, 350.0),
    "s2": (20.0, 300.0),
    "s3": (10.0, 120.0),
    "s4": (1.0, 12.0),
    "s5": (2.0, 7.0),
    "s6": (40.0, 150.0),
}


class Diabetes(TableSet):
    """442 rows, two classes; there is no official test split."""

    name = "diabetes"
    title = "Diabetes"
    source = "Efron, Hastie, Johnstone, Tibshirani 2004: Least angle regression"
    roles = Roles(
        "progression",
        ranges=RANGES,
        categories={"sex": ("1", "2")},
        classes=("below", "above"),
    )
    hashes: ClassVar = {"train": "44e1639c29f60e33d599dc80658a7f488887343e6c52a5b6f91782942bc0c11e"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set in its own units, its patients in two classes."""
        columns = _measured()
        above = columns["progression"] > THRESHOLD
        columns["progression"] = np.where(above, "above", "below").astype(object)
        return Table("scikit-learn's diabetes", columns)


class DiabetesProgression(TableSet):
    """The same 442 rows, whose progression is predicted as the number that it is."""

    name = "diabetes-progression"
    title = "Diabetes, progression"
    source = Diabetes.source
    real_target = True
    roles = Roles(
        "progression",
        ranges=RANGES | {"progression": (0.0, 400.0)},
        categories={"sex": ("1", "2")},
        task=REGRESSION,
    )
    hashes: ClassVar = {"train": "37b0191a6f7b0c15c6ef3f0374d6c715a7a54282f9019671ec5cfd3da1f27249"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set in its own units."""
        return Table("scikit-learn's diabetes", _measured())


def _measured() -> dict[str, np.ndarray]:
    """The columns of the set that is embedded in scikit-learn."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    columns = dict(zip(found.feature_names, found.data.T, strict=True))
    columns["sex"] = np.array([f"{value:g}" for value in columns["sex"]], dtype=object)
    return columns | {"progression": found.target}

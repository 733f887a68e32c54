"""Breast cancer: 569 biopsies, 30 measures of cell nuclei (UCI)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from benchmark.data.named import TableSet
from benchmark.data.own.arrays import bundled
from benchmark.data.own.table import Roles, Table
from benchmark.errors import present

#: The largest mean, standard error and worst value that a measure is taken to have: round numbers
#: above those that the set's description publishes. None is below 0.
LARGEST = {
    "radius": (40, 5, 50),
    "texture": (50, 6, 60),
    "perimeter": (250, 30, 300),
    "area": (3000, 600, 5000),
    "smoothness": (0.2, 0.05, 0.3),
    "compactness": (0.5, 0.2, 1.5),
    "concavity": (0.5, 0.5, 1.5),
    "concave points": (0.3, 0.1, 0.4),
    "symmetry": (0.4, 0.1, 0.8),
    "fractal dimension": (0.1, 0.05, 0.3),
}
_FORMS = ("mean {}", "{} error", "worst {}")


class BreastCancer(TableSet):
    """569 rows, two classes; there is no official test split."""

    name = "breast-cancer"
    title = "Breast cancer"
    source = "Street, Wolberg, Mangasarian 1993: Nuclear feature extraction (UCI)"
    roles = Roles(
        "target",
        ranges={
            form.format(measure): (0.0, float(largest))
            for measure, values in LARGEST.items()
            for form, largest in zip(_FORMS, values, strict=True)
        },
        classes=("malignant", "benign"),
    )
    hashes: ClassVar = {"train": "e1ae8fb6d79e363d22a4705d12489d9aa96cb84b18fe16e8bd4fb540ad55d706"}

    @classmethod
    def read(cls, split: str) -> Table:
        """The set, embedded in scikit-learn."""
        given = bundled("breast_cancer")
        columns = dict(zip(present(given.names), given.x.T, strict=True))
        classes = present(cls.roles.classes)
        columns["target"] = np.array([classes[label] for label in given.y], dtype=object)
        return Table(given.where, columns)

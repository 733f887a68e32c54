"""The embedded data set: scikit-learn's handwritten digits (UCI, 1797 images of 8 x 8)."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from benchmark.data.dataset import Dataset, Part
from benchmark.data.named import NamedSet

CONTENT_HASH = "803c750a95a08ee5266adaddaf25a2f5cda68619e07a62b4739201e650c10ab4"


class Digits(NamedSet):
    """1797 images of 8 x 8, uint8 in 0..16; there is no official test split."""

    name = "digits"
    title = "Digits"
    source = "Alpaydin, Kaynak 1998: Optical recognition of handwritten digits (UCI)"
    levels = 16

    @classmethod
    def load(cls) -> Dataset:
        """The set, embedded in scikit-learn."""
        bunch = load_digits()
        part = Part.verified(
            bunch.images.astype(np.uint8),
            bunch.target.astype(np.int64),
            CONTENT_HASH,
            "scikit-learn's digits",
            "install the scikit-learn version in constraints.txt",
        )
        return Dataset(cls.name, 10, part, None)

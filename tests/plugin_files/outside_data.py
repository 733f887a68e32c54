"""A data set with a name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lethe import Dataset, NamedSet, dataset_from_arrays


class OutsideSet(NamedSet):
    """Images of 8 x 8 in two classes, left and right."""

    name = "outside-set"
    title = "Outside set"
    source = "a test"

    @classmethod
    def load(cls) -> Dataset:
        images = np.random.default_rng(0).integers(0, 100, (240, 8, 8), dtype=np.uint8)
        labels = np.arange(240) % 2
        images[labels == 1, :, 4:] += 100
        return replace(dataset_from_arrays(images, labels), name=cls.name)

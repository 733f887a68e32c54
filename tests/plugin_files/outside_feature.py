"""A feature of images."""

from __future__ import annotations

import numpy as np

from lethe import ImageFeature


class OutsideFeature(ImageFeature):
    """The mean of each column."""

    name = "outside-feature"
    title = "Outside feature"
    source = "a test"

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        return images.astype(np.float64).mean(axis=1) / levels

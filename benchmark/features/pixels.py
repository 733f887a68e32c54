"""Pixels as they are, scaled, normalised or averaged."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.data.features import ImageFeature, unit_rows
from benchmark.errors import LetheError

# Of ImageNet, for red, green and blue in 0..1: owing nothing to the rows at hand, they need not
# be unlearned with them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class UnitPixels(ImageFeature):
    """Pixels in float64, each row of norm 1 up to its rounding; a blank image's row is 0."""

    name = "unit-pixels"
    title = "pixels, rows of norm 1"
    source = "the suite's own"
    largest_norm = 1.0
    keeps_image = True

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        flat = _flat(images)
        norms = np.linalg.norm(flat, axis=1, keepdims=True)
        return flat / np.maximum(norms, 1)  # a pixel is an integer: only a blank image is below 1


class PlainPixels(ImageFeature):
    """Pixels in 0..1, in float64."""

    name = "plain-pixels"
    title = "pixels in 0..1"
    source = "the suite's own"
    keeps_image = True

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        return _flat(images) / levels


class CentredPixels(ImageFeature):
    """Pixels in -1..1, in float64."""

    name = "centred-pixels"
    title = "pixels in -1..1"
    source = "the suite's own"
    keeps_image = True

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        return _flat(images) / (levels / 2) - 1


class Pixels(ImageFeature):
    """Colour images, their channels normalised, in float32."""

    name = "pixels"
    title = "normalised pixels"
    source = "the suite's own"
    keeps_image = True

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        if images.ndim != 4 or images.shape[-1] != 3:
            raise LetheError("features 'pixels' are of colour images; use 'centred-pixels'")
        x = torch.from_numpy(images).float() / levels
        return x.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD)).flatten(1).numpy()


class PooledPixels(ImageFeature):
    """Means over blocks of 4 x 4 pixels, in float32, each row of norm 1 at most."""

    name = "pooled-pixels"
    title = "means of blocks"
    source = "the suite's own"
    largest_norm = 1.0

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        n, height, width = images.shape[:3]
        if height % 4 or width % 4:
            raise LetheError(
                f"features 'pooled-pixels' need sides that are multiples of 4, not {height} x "
                f"{width}"
            )
        blocks = (images / levels).reshape(n, height // 4, 4, width // 4, 4, -1)
        return unit_rows(blocks.mean(axis=(2, 4)).reshape(n, -1))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)

"""Fixed features: functions of one row alone, so that nothing fitted has to be unlearned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from benchmark.data import hog, scattering
from benchmark.data.pixels import pixels
from benchmark.errors import LetheError, unknown

Features = Literal[
    "unit-pixels",
    "plain-pixels",
    "centred-pixels",
    "pixels",
    "pooled-pixels",
    "hog",
    "scattering",
]
#: Those that keep an image's rows, columns and channels: what convolutions can look at.
PIXELS = ("unit-pixels", "plain-pixels", "centred-pixels", "pixels")
#: Features whose rows are no longer than this, whatever the image.
LARGEST_NORM = {"unit-pixels": 1.0, "pooled-pixels": 1.0, "hog": 1.0, "scattering": 1.0}


@dataclass(frozen=True)
class Descriptor:
    """A feature that is worth keeping on disk.

    Attributes:
        compute: from (n, height, width[, channel]) float64 images in 0..1 to (n, inputs).
        version: raised when its numbers change.
        title: for people.
    """

    compute: Callable[[np.ndarray], np.ndarray]
    version: int
    title: str


DESCRIPTORS = {
    "hog": Descriptor(hog.hog, hog.VERSION, "HOG"),
    "scattering": Descriptor(scattering.scattering, scattering.VERSION, "scattering"),
}


def compute(kind: Features, images: np.ndarray, levels: int) -> np.ndarray:
    """(n, inputs) features of uint8 `images` (n, height, width[, channel]) in 0..levels.

    `plain-pixels` maps pixels to 0..1 and `centred-pixels` to -1..1, in float64; `pixels`
    normalises the channels of colour images, in float32 (see `benchmark.data.pixels`). All others
    have rows of norm 1 at most, which makes the norm of a row with its bias column at most
    sqrt(2): `unit-pixels` in float64, up to its rounding; `pooled-pixels` (means over blocks of
    4 x 4), `hog` and `scattering` in float32, exactly (see `unit_rows`). A blank image's row is 0.

    Raises:
        LetheError: for an unknown kind, `pixels` of images without colour, or `pooled-pixels` of
            images whose sides are not multiples of 4.
    """
    if kind == "pixels":
        return pixels(images, levels)
    if kind in DESCRIPTORS:
        return unit_rows(DESCRIPTORS[kind].compute(images / levels))
    if kind == "pooled-pixels":
        return unit_rows(_pooled(images / levels))
    flat = images.reshape(len(images), -1).astype(np.float64)
    if kind == "plain-pixels":
        return flat / levels
    if kind == "centred-pixels":
        return flat / (levels / 2) - 1
    if kind == "unit-pixels":
        norms = np.linalg.norm(flat, axis=1, keepdims=True)
        return flat / np.maximum(norms, 1)  # a pixel is an integer: only a blank image is below 1
    raise unknown("features", kind, get_args(Features))


def _pooled(images: np.ndarray) -> np.ndarray:
    """(n, inputs): the mean over each block of 4 x 4 pixels of (n, height, width[, channel])."""
    n, height, width = images.shape[:3]
    if height % 4 or width % 4:
        raise LetheError(
            f"features 'pooled-pixels' need sides that are multiples of 4, not {height} x {width}"
        )
    blocks = images.reshape(n, height // 4, 4, width // 4, 4, -1)
    return blocks.mean(axis=(2, 4)).reshape(n, -1)


def unit_rows(raw: np.ndarray) -> np.ndarray:
    """(n, inputs) float32: the rows of `raw` scaled to a norm in [1 - 3e-7, 1].

    Rounding to float32 changes an entry by a share of 2^-24 at most; shrinking by twice that
    first keeps the norm at 1 or below, whatever precision it is computed in afterwards. A row of
    norm below 0.01 is blank but for round-off, and stays small.
    """
    raw = raw.astype(np.float64)
    norms = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 0.01)
    return (raw / (norms * (1 + 2**-23))).astype(np.float32)

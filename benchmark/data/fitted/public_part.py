"""The one thing that a fit receives: public rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.data.dataset import Dataset
from benchmark.data.hashing import row_digests

#: Pixels of all data sets are brought to 0..255.
_PIXEL = 255


@dataclass(frozen=True)
class PublicPart:
    """The public rows of a data set, and nothing of the others.

    Attributes:
        images: (n, height, width[, channel]) uint8 in 0..levels.
        labels: (n,) int64.
        classes: number of labels.
        levels: the largest pixel value there can be.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    levels: int

    @classmethod
    def of(cls, dataset: Dataset, public: Tensor, levels: int) -> PublicPart:
        """Copies of the rows `public` (n,) of the data set's training part."""
        rows, part = public.numpy(), dataset.train
        return cls(part.images[rows], part.labels[rows], dataset.classes, levels)

    @property
    def content(self) -> str:
        """sha256, in hex, of the rows in their order and of what their pixels mean."""
        digest = hashlib.sha256(f"{self.classes}|{self.levels}|".encode())
        digest.update(row_digests(self.images, self.labels).tobytes())
        return digest.hexdigest()


def planes(images: np.ndarray, levels: int) -> Tensor:
    """(n, channel, height, width) float32 in 0..255, from uint8 in 0..levels."""
    n, height, width = images.shape[:3]
    pixels = torch.from_numpy(images.reshape(n, height, width, -1)).permute(0, 3, 1, 2)
    return pixels.float().mul_(_PIXEL / levels).contiguous()

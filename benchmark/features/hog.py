"""Histograms of oriented gradients, for small images."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.data.features import ImageFeature, unit_rows

CELL = 4  # pixels between the centres of cells
SIGNED = 16  # orientations over the full circle
FLOOR = 3.0  # gradient below which a block's contrast is not stretched to that of the others


class HOG(ImageFeature):
    """Rows of norm 1 at most, exactly; see `hog`."""

    name = "hog"
    title = "HOG"
    source = "Dalal & Triggs 2005"
    largest_norm = 1.0
    version = 1

    @classmethod
    def compute(cls, images: np.ndarray, levels: int) -> np.ndarray:
        return unit_rows(hog(images / levels))


def hog(images: np.ndarray) -> np.ndarray:
    """(n, 24 * cells) float64: 16 signed and 8 unsigned orientations for each 4 x 4 pixels.

    After Dalal & Triggs 2005, with their linear interpolation between orientations and cells (a
    hard histogram costs 1 to 7 points of accuracy), and Felzenszwalb et al. 2010: signed and
    unsigned orientations, each cell normalised by the four blocks of 2 x 2 cells around it, and
    the mean of the four taken. Of several channels, a pixel takes the one of largest gradient.

    Args:
        images: (n, height, width[, channel]) in 0..1, at least 4 x 4 pixels.
    """
    pixels = torch.from_numpy(images.reshape(*images.shape[:3], -1)).double()
    cells = _histograms(*_gradients(pixels.permute(0, 3, 1, 2)))
    unsigned = cells[:, : SIGNED // 2] + cells[:, SIGNED // 2 :]
    both = torch.cat([cells, unsigned], dim=1)
    return (both * _contrast(unsigned)).flatten(1).numpy()


def _gradients(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Down and across, (n, 1, height, width) each, of `pixels` (n, channel, height, width)."""
    padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    steepest = (down.square() + across.square()).argmax(dim=1, keepdim=True)
    return down.gather(1, steepest), across.gather(1, steepest)


def _histograms(down: Tensor, across: Tensor) -> Tensor:
    """(n, 16, rows, columns): gradient by orientation, spread over the nearest bins and cells."""
    size = torch.hypot(down, across)
    angle = torch.atan2(down, across) / (2 * math.pi) * SIGNED
    lower = angle.floor()
    upper_share = angle - lower
    bins = lower.long() % SIGNED
    n, _, height, width = size.shape
    votes = torch.zeros(n, SIGNED, height, width, dtype=size.dtype)
    votes.scatter_add_(1, bins, size * (1 - upper_share))
    votes.scatter_add_(1, (bins + 1) % SIGNED, size * upper_share)
    tent = 1 - (torch.arange(2 * CELL, dtype=size.dtype) - CELL + 0.5).abs() / CELL
    window = torch.outer(tent, tent).expand(SIGNED, 1, -1, -1)
    return F.conv2d(votes, window, stride=CELL, padding=CELL // 2, groups=SIGNED)


def _contrast(unsigned: Tensor) -> Tensor:
    """(n, 1, rows, columns): the mean of 1 / norm over the four blocks that a cell is part of."""
    energy = unsigned.square().sum(dim=1, keepdim=True)
    padded = F.pad(energy, (1, 1, 1, 1), mode="replicate")
    block = 4 * F.avg_pool2d(padded, kernel_size=2, stride=1)
    return F.avg_pool2d((block + FLOOR**2).rsqrt(), kernel_size=2, stride=1)

"""Augmented images: each row seen a little differently every time."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional as F

from benchmark.problem.models.convolutional import Shape
from benchmark.problem.rows import Rows

Augmentation = Literal["crop", "crop-flip"]

PADDING = 4


def augmented(rows: Rows, kind: Augmentation, shape: Shape, generator: torch.Generator) -> Rows:
    """`rows` with every image cropped at random out of its padding by 4 zeros on each side.

    Args:
        rows: flat images (n, height * width * channels).
        kind: `crop-flip` flips every second image or so left to right as well.
        shape: height, width and channels of an image.
        generator: draws.
    """
    n, (height, width, _) = len(rows), shape
    images = rows.x.unflatten(1, shape).movedim(-1, 1)
    corners = torch.randint(2 * PADDING + 1, (2, n), generator=generator).to(images.device)
    windows = F.pad(images, 4 * [PADDING]).unfold(2, height, 1).unfold(3, width, 1)
    images = windows[torch.arange(n, device=images.device), :, corners[0], corners[1]]
    if kind == "crop-flip":
        flip = torch.rand(n, generator=generator).to(images.device) < 0.5
        images = torch.where(flip.view(n, 1, 1, 1), images.flip(-1), images)
    return Rows(images.movedim(1, -1).flatten(1), rows.y)

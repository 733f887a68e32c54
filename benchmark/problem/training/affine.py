"""Images turned, sheared, scaled and shifted at random."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.problem.models.convolutional import Shape

#: The largest angle in degrees, shear, change of size, and shift as a share of half the side.
ANGLE, SHEAR, SIZE, SHIFT = 15.0, 0.2, 0.15, 0.15


def affine(x: Tensor, shape: Shape, generator: torch.Generator) -> Tensor:
    """Flat images (n, height * width * channels), each seen through a random affine map.

    Angle, shear, size and shifts are uniform up to the constants above. Values between pixels are
    interpolated linearly; beyond the border they are those of the border.

    Args:
        x: the images.
        shape: height, width and channels.
        generator: draws.
    """
    maps = _maps(len(x), generator).to(x.device, x.dtype)
    images = x.unflatten(1, shape).movedim(-1, 1)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    seen = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return seen.movedim(1, -1).flatten(1)


def _maps(n: int, generator: torch.Generator) -> Tensor:
    """(n, 2, 3) float64: from the places of what is seen to those of the image."""
    draw = 2 * torch.rand(6, n, generator=generator, dtype=torch.float64) - 1
    angle, shear = math.radians(ANGLE) * draw[0], SHEAR * draw[1]
    cos, sin, one, zero = angle.cos(), angle.sin(), torch.ones(n), torch.zeros(n)
    turn = torch.stack([cos, -sin, sin, cos], dim=1).view(n, 2, 2)
    slant = torch.stack([one, shear, zero, one], dim=1).view(n, 2, 2)
    sizes = torch.diag_embed(1 + SIZE * draw[2:4].T)
    return torch.cat([turn @ slant @ sizes, SHIFT * draw[4:6].T.unsqueeze(2)], dim=2)

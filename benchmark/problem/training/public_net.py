"""The net that public rows alone have trained, on images turned, sheared, scaled and shifted."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.problem.model import Model, TangentSpec
from benchmark.problem.models.convolutional import Shape
from benchmark.problem.objective import Objective
from benchmark.problem.training.descent import descend
from benchmark.rows import Rows

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


#: Decay of all weights; it keeps the last layer short.
RIDGE = 1e-4


def train_public(
    spec: TangentSpec, rows: Rows, shape: Shape, classes: int, generator: torch.Generator
) -> Tensor:
    """Weights (d,) of the whole net, float64, trained on `rows` and nothing else.

    Args:
        spec: says how.
        rows: public; flat images if they are augmented.
        shape: height, width and channels of an image.
        classes: number of labels.
        generator: draws start, batches and augmentation.
    """
    net, objective = Model(spec.net, rows.x.shape[1], classes), Objective(ridge=RIDGE)

    def loss(weights: Tensor, part: Rows) -> Tensor:
        x = part.x if spec.augment is None else affine(part.x, shape, generator)
        return objective.data_term(net(weights, x), part.y) + objective.penalty(weights)

    return descend(
        loss,
        net.initial_weights(generator).to(rows.x.device),
        Rows(rows.x.double(), rows.y),
        generator,
        epochs=spec.epochs,
        batch=spec.batch,
        learning_rate=spec.learning_rate,
        schedule="cosine",
    )

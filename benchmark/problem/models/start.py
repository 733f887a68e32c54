"""Where training starts: how the weights of a net are first drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def uniform(shapes: Mapping[str, torch.Size], generator: torch.Generator) -> Tensor:
    """(d,) float64 on the CPU: uniform in +-1/sqrt(fan-in), as torch initialises a layer."""
    pieces = []
    fan_in = 1
    for shape in shapes.values():
        if len(shape) > 1:
            fan_in = math.prod(shape[1:])
        draw = torch.rand(shape.numel(), generator=generator, dtype=torch.float64)
        pieces.append((2 * draw - 1) / math.sqrt(fan_in))
    return torch.cat(pieces)


def kaiming(shapes: Mapping[str, torch.Size], generator: torch.Generator) -> Tensor:
    """(d,) float64 on the CPU: normal of variance 2 / fan-in (He et al. 2015).

    Of weights with one axis the scales and variances of a normalisation are 1, the others 0.
    """
    pieces = []
    for name, shape in shapes.items():
        if len(shape) > 1:
            draw = torch.randn(shape.numel(), generator=generator, dtype=torch.float64)
            pieces.append(draw * math.sqrt(2 / math.prod(shape[1:])))
        else:
            value = float(name.endswith(("weight", "variance")))
            pieces.append(torch.full(shape, value, dtype=torch.float64))
    return torch.cat(pieces)

"""Colour images, normalised."""

from __future__ import annotations

import numpy as np
import torch

from benchmark.errors import LetheError

# Of ImageNet, for red, green and blue in 0..1: owing nothing to the rows at hand, they need not
# be unlearned with them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def pixels(images: np.ndarray, levels: int) -> np.ndarray:
    """(n, height * width * 3) float32: `images` (n, height, width, 3) in 0..levels, normalised.

    Raises:
        LetheError: for images without colour.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise LetheError("features 'pixels' are of colour images; use 'centred-pixels'")
    x = torch.from_numpy(images).float() / levels
    return x.sub_(torch.tensor(MEAN)).div_(torch.tensor(STD)).flatten(1).numpy()
